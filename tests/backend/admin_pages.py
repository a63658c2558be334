"""The admin as a browser without scripts sees it: pages, and their forms as they would be sent."""

from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

Fields = dict[str, list[str]]


class _Form(HTMLParser):
    """What the page's forms hold: the values of all fields that are not disabled."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: Fields = {}
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        had = dict(attrs)
        name = had.get("name") or ""
        if "disabled" in had:
            return
        if tag == "input" and had.get("type") not in ("submit", "button"):
            if had.get("type") != "checkbox":
                self._add(name, had.get("value") or "")
            elif "checked" in had:
                self._add(name, had.get("value") or "on")
        elif tag == "select":
            self._select = name
            self.fields.setdefault(name, [])
        elif tag == "option" and self._select is not None and "selected" in had:
            self._add(self._select, had.get("value") or "")
        elif tag == "textarea":
            self._textarea = name
            self._add(name, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            # As browsers do, which leave out the first newline.
            self.fields[self._textarea][-1] += data.removeprefix("\n").removeprefix("\r\n")

    def _add(self, name: str, value: str) -> None:
        if name:
            self.fields.setdefault(name, []).append(value)


class Admin:
    """Somebody who is logged in."""

    def __init__(self, user: User) -> None:
        self.user, self.client = user, Client()
        self.client.force_login(user)

    def get(self, path: str) -> Any:
        return self.client.get(f"/admin/{path}")

    def post(self, path: str, data: Fields | None = None) -> Any:
        return self.client.post(f"/admin/{path}", data or {})

    def save(self, path: str, **changes: str | list[str] | None) -> Any:
        """The page's form, sent with these fields changed; None: not sent. Answers with the page that follows."""
        fields = form_of(self.get(path))
        for name, value in changes.items():
            name = name.replace("__", "-")
            fields.pop(name, None)
            if value is not None:
                fields[name] = [value] if isinstance(value, str) else value
        return self.client.post(f"/admin/{path}", fields, follow=True)


def form_of(page: Any) -> Fields:
    form = _Form()
    form.feed(page.content.decode())
    return form.fields


def errors_of(page: Any) -> str:
    """All that the page says is wrong."""
    found = [*page.context["errors"]] if page.context and "errors" in page.context else []
    return " ".join(str(error) for error in found)


def messages_of(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]
