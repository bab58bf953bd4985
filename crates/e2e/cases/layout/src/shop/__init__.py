"""A shop, as a package."""

VERSION = 2
