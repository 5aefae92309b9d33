"""One actor per stream: the memory of every track, the temporal heads, the records, and the snapshots."""
