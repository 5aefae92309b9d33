"""How much a machine of some kind can carry: stage costs, a simulator they drive, and what follows for a fleet.

Nothing here measures anything or opens a model: `streamer/bench/calibration.py` measures, this calculates.
"""
