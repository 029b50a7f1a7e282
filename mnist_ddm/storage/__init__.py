"""Files that are whole or absent, and recordings on disk."""
