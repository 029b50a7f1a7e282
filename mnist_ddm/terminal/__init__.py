"""What commands share on a terminal: options and progress."""
