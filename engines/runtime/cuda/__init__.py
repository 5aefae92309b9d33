"""What runs on an NVIDIA GPU besides the network: devices, the kernel that cuts and normalises crops, and its launch.

Importing this package loads no driver and no compiler.
"""
