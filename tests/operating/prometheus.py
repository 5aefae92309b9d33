"""Asking a Prometheus."""

from __future__ import annotations

import http.client
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.product import until


@dataclass
class Prometheus:
    """A running one."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now. Fails for what cannot be parsed."""
        status, found = self._ask(f"/api/v1/query?{urlencode({'query': expression})}")
        assert status == 200, f"{expression}: {found}"
        result = found["data"]["result"]
        assert isinstance(result, list), expression
        return result

    def rules(self) -> list[dict[str, Any]]:
        """The alert rules as it evaluates them."""
        _, found = self._ask("/api/v1/rules?type=alert")
        return [rule for group in found["data"]["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that goes."""
        _, found = self._ask("/api/v1/targets?state=active")
        return list(found["data"]["activeTargets"])

    def wait_until_scraping(self, n: int) -> None:
        """Until so many targets answer."""

        def has_come() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return [target["health"] for target in self.targets()].count("up") == n
            except (OSError, ValueError):
                return False  # it has not begun yet

        until(has_come, f"Prometheus scrapes {n} targets", timeout_s=120)

    def _ask(self, path: str) -> tuple[int, Any]:
        host, _, port = self.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()
