"""Events, redaction and diagnosis: what a person gets to see of a run."""
