"""What is asked of a fleet over the bus, and how it stands: streams that are wanted, jobs and how far they are."""
