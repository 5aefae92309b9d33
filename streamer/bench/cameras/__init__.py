"""Real servers on loopback that stand for cameras and web streams: started, killed, frozen, thawed, restarted."""
