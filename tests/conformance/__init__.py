"""Generated Terraform against the schema of the real provider, as Terraform itself sees it."""
