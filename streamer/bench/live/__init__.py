"""Proofs over real cameras and a real worker: sources that are killed, frozen and expire, and what the topics say."""
