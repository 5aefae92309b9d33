"""Programs that run in environments of their own, by path: nothing here imports this software or is imported by it.

Each takes `--clip` and `--out` and writes one JSON object, as `streamer.bench.peers.protocol.Answer` reads it.
"""
