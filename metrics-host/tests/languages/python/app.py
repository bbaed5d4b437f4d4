"""One kind of response per path."""

from componentize_py_async_support import spawn
from spin_sdk import http, wit
from spin_sdk.wit.imports import wasi_clocks_monotonic_clock_0_3_0 as clock
from spin_sdk.wit.imports.wasi_http_types_0_3_0 import Fields, Response as Head

NANOSECONDS = 1_000_000


class HttpHandler(http.Handler):
    requests = 0

    async def handle_request(self, request: http.Request) -> http.Response:
        match request.uri:
            case "/instance":
                HttpHandler.requests += 1
                return answer(str(HttpHandler.requests).encode())
            case "/echo":
                return answer(request.body or b"")
            case "/throw":
                raise ValueError("on purpose")
            case _:
                return http.Response(404, {}, b"nothing is here")

    async def handle(self, request):
        path = request.get_path_with_query() or "/"
        if path == "/trap":
            raise ValueError("beyond the SDK, on purpose")
        if not path.startswith("/lines/"):
            return await super().handle(request)
        count, pause = map(int, path.split("/")[2:])
        writer, body = wit.byte_stream()
        spawn(write_lines(writer, count, pause))
        return Head.new(Fields(), body, http._trailers_future())[0]


def answer(body: bytes) -> http.Response:
    return http.Response(200, {"content-type": "text/plain"}, body)


async def write_lines(writer, count: int, pause: int):
    """Writes so many lines, with a pause of so many milliseconds after each."""
    with writer:
        for line in range(1, count + 1):
            await writer.write_all(f"line {line}\n".encode())
            if pause:
                await clock.wait_for(pause * NANOSECONDS)
