//! How a process lives: configuration, listeners, authentication, health, drain.
