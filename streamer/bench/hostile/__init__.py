"""Files that no camera made, read the way every file is read: what becomes of the process that does it."""
