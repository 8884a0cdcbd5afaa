"""Names on the internet: records at a provider of DNS, and what the zone's own servers answer."""
