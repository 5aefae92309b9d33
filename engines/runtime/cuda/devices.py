"""Which NVIDIA GPUs this machine has, asked of the driver itself: nothing need be installed for the answer `none`."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True)
class CudaDevice:
    """One GPU. `capability` as `8.6`, the way NVIDIA writes it."""

    index: int
    name: str
    capability: str

    @property
    def sm(self) -> str:
        """The capability as compilers write it: `sm86`."""
        return sm_of(self.capability)


def sm_of(capability: str) -> str:
    """`sm86` of `8.6`."""
    return "sm" + capability.replace(".", "")


def cuda_devices() -> tuple[CudaDevice, ...]:
    """The GPUs that the driver shows to this process, in its order; empty where there is no driver or no GPU."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(device for index in range(count.value) if (device := _device(driver, index)) is not None)


def _device(driver: ctypes.CDLL, index: int) -> CudaDevice | None:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    failed = (
        driver.cuDeviceGet(ctypes.byref(handle), index)
        or driver.cuDeviceGetName(name, len(name), handle)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle)
    )
    if failed:
        return None
    return CudaDevice(index, name.value.decode(errors="replace"), f"{major.value}.{minor.value}")
