"""What a user would run instead, measured on the same file in the same run, each in an environment of its own."""
