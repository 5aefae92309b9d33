"""The fleet put to the test: workers as real processes, killed, frozen and cut off, judged by what is on the topics."""
