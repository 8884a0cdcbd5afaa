"""What we remember: folders, database, encryption, locks."""
