"""A study: plan, record, answer, write; and the run folder it writes."""
