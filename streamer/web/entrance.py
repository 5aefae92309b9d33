"""The page that asks for the token: no script, nothing loaded."""

from __future__ import annotations

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dashboard: token</title>
<style>
:root {{ color-scheme: light dark; --paper: #fbfaf7; --ink: #1b1d20; --muted: #5a5f66; --rule: #b9b4a8;
  --link: #2f4bb0; --bad: #a8321a; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14161a; --ink: #eae7e1; --muted: #a0a5ad; --rule: #565c66;
  --link: #9db4ff; --bad: #ff9a7d; }} }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }}
main {{ width: min(24rem, 100vw - 3rem); }}
h1 {{ font: 600 1.8rem/1.2 "Iowan Old Style", Palatino, Georgia, "Liberation Serif", serif; margin: 0 0 .5rem; }}
p {{ color: var(--muted); margin: 0 0 1.5rem; }}
.bad {{ color: var(--bad); }}
label {{ display: block; font-weight: 600; margin-bottom: .3rem; }}
input {{ width: 100%; box-sizing: border-box; font: inherit; padding: .6rem .7rem; border: 1px solid var(--rule);
  border-radius: 6px; background: transparent; color: inherit; }}
button {{ margin-top: 1rem; font: inherit; font-weight: 600; padding: .6rem 1.2rem; border: 0; border-radius: 6px;
  background: var(--link); color: var(--paper); cursor: pointer; }}
:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
</style>
</head>
<body><main>
<h1>Live dashboard</h1>
{said}
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button>
</form>
</main></body>
</html>
"""
_ASKED = "<p>Whoever started the dashboard has the token.</p>"
_WRONG = '<p class="bad" role="alert">That is not the token.</p>'


def entrance(*, wrong: bool) -> bytes:
    """The page; `wrong` says that the last token was none."""
    return _PAGE.format(said=_WRONG if wrong else _ASKED).encode()
