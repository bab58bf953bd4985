//! Reads Python source with ruff's parser; never runs it.
