"""The exercises that ship here, one folder each."""
