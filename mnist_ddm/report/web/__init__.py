"""What every page shares: one palette, one base style sheet, one way to assemble a self-contained file."""
