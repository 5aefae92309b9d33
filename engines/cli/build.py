"""`engines build`."""

from __future__ import annotations

from pathlib import Path

import click

from engines.cli.output import say_json


def _size(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.BadParameter(f"{text!r} is no size; write it as 320x192", ctx, param)
    return int(width), int(height)


@click.command(epilog="\b\nExamples:\n  engines build exported/ --compute-capability 8.6\n  engines build net.onnx")
@click.argument("path", metavar="FOLDER_OR_ONNX", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Default: `plans` beside the network.")
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option("--batches", nargs=3, type=int, default=(1, 8, 32), show_default=True, help="Smallest, usual, largest.")
@click.option("--compute-capability", "capability", help="Of the GPU to build for, as 8.6. Default: the GPU here.")
@click.option("--input-size", metavar="WIDTHxHEIGHT", callback=_size, help="For a network that runs at any size.")
@click.option("--library", help="tensorrt, tensorrt_rtx or tensorrt_rtx_bindings; default: the first installed.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of the timing cache (tensorrt alone has one).")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def build(
    path: Path,
    out: Path | None,
    precision: str,
    batches: tuple[int, int, int],
    capability: str | None,
    input_size: tuple[int, int] | None,
    library: str | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """TensorRT plans of an exported model's backbone and head, or of one ONNX file.

    The RTX edition builds without a GPU for the capability named; `tensorrt` builds for the GPU of this machine.
    """
    from engines.errors import WrongUse
    from engines.runtime.tensorrt_library import NAMES, tensorrt_library
    from engines.runtime.tensorrt_plan import BatchProfile
    from engines.shipping.build import BuildSettings, build_plans, networks_in

    if library is not None and library not in NAMES:
        raise WrongUse(f"no library is called {library!r}; there are {', '.join(NAMES)}")
    try:
        profile = BatchProfile(min=batches[0], opt=batches[1], max=batches[2])
    except ValueError as error:
        raise WrongUse(f"--batches: {error}") from error
    settings = BuildSettings("fp32" if precision == "fp32" else "fp16", profile, capability, input_size)
    plans = build_plans(networks_in(path), settings, out=out, cache=cache, library=tensorrt_library(library))
    if as_json:
        import msgspec

        say_json([msgspec.to_builtins(one.record) | {"path": str(one.path), "seconds": one.seconds} for one in plans])
        return
    for one in plans:
        key = one.record.key
        how = "was there" if one.was_there else f"built in {one.seconds:.1f} s"
        click.echo(
            f"{one.path}: {one.record.plan_bytes / 1e6:.1f} MB, {key.precision}, compute capability {key.capability}, "
            f"batches {key.profile.min}/{key.profile.opt}/{key.profile.max}, {key.library} {key.library_version}, {how}"
        )
