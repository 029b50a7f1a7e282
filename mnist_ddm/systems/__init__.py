"""Systems: everything that stands behind the expert-pool interface, found by name through entry points."""
