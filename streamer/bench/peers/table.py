"""The result of `streamer bench peers` as text."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    clip, many = result["clip"], result["clip"]["files"]
    lines = [f"{clip['name']}, {result['machine']['cpu']}, {result['machine']['cores']} cores"]
    for name, ours in result["ours"].items():
        lines.append(f"  ours, {name:12} {many} files {ours['many']:7.1f} frames/s   1 file {ours['one']:7.1f}")
    for name, peer in result["peers"].items():
        if peer["missing"] is not None:
            lines.append(f"  {name:18} missing: {peer['missing']}")
            continue
        other = "" if peer["same_frames"] else "   (it read another number of frames)"
        lines.append(f"  {name:18} {peer['fps']:7.1f} frames/s{other}")
        for how, ratio in peer["ratio"].items():
            goal = result["goals"].get(how, {}).get(name, {})
            lines.append(
                f"    we, {how:12} {ratio['many']:5.1f} times as fast with {many} files{_goal(goal, 'many')}, "
                f"{ratio['one']:5.1f} with 1{_goal(goal, 'one')}"
            )
    for name, found in result["clips"].items():
        shown = {"ours": found} | {
            peer: told["clips"][name] for peer, told in result["peers"].items() if name in told.get("clips", {})
        }
        lines.append(f"  {name}: {found['frames']} frames")
        for who, one in shown.items():
            lines.append(
                f"    {who:18} found {_of(one['found'], one['faces'])}   false boxes {_number(one['false_boxes'])}   "
                f"labels as ours {_share(one.get('labels_equal'))}"
            )
    return "\n".join(lines)


def _goal(goals: dict[str, float], key: str) -> str:
    return f" (goal {goals[key]:g})" if key in goals else ""


def _of(part: int | None, whole: int | None) -> str:
    return "not counted" if whole is None else f"{part} of {whole}"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
