"""What results look like: pictures, plots, tables, and the run folder."""
