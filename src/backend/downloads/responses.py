"""Files as answers."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from rest_framework.response import Response

from backend.downloads.services import Export, Preparing
from backend.exports.formats import CONTENT_TYPES

ASK_AGAIN_AFTER_S = 2

# What was said is erased when it is promised to be, and a link is a secret.
PRIVATE = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}


class Streamed(StreamingHttpResponse):
    """Of a plain iterator, read on the request's thread: Django reads one to its end before it sends anything."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: Iterator[bytes] = iter(self.streaming_content)
        while (chunk := await sync_to_async(next)(chunks, None)) is not None:
            yield chunk


def answer_of(export: Export | Preparing) -> HttpResponseBase:
    return _preparing(export) if isinstance(export, Preparing) else _file(export)


def _file(export: Export) -> HttpResponseBase:
    headers = {
        **PRIVATE,
        "Content-Disposition": content_disposition_header(True, export.name) or "attachment",
    }
    if export.size is not None:
        headers["Content-Length"] = str(export.size)
    return Streamed(export.chunks, content_type=CONTENT_TYPES[export.format], headers=headers)


def _preparing(export: Preparing) -> Response:
    body = {"status": "preparing", "download": reverse("download", args=[export.token])}
    return Response(body, status=202, headers={**PRIVATE, "Retry-After": str(ASK_AGAIN_AFTER_S)})
