"""Tables with a schema: what a column is stands in one place."""
