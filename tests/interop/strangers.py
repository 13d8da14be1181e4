"""Opens connections to a balancer from one address, and holds them until it is ended.

strangers.py PORT ADDRESS NUMBER silent|bodiless

`silent` says nothing after the TLS handshake; `bodiless` sends the head of a POST whose body never
comes. Prints how many were refused: the silent ones that were closed within five seconds, the others
that were answered 429.
"""

import asyncio
import ssl
import sys

HEAD = b"""POST /api/v1/timestamp HTTP/1.1\r
Host: localhost\r
Content-Type: application/json\r
Content-Length: 100\r
\r
"""
# Seconds; a body that is awaited is answered 408 after ten.
ANSWERED = {"silent": 5, "bodiless": 20}
REFUSED = {"silent": b"", "bodiless": b"HTTP/1.1 429"}
# Handshakes.
AT_ONCE = 50


async def is_refused(port: int, address: str, tls: ssl.SSLContext, kind: str, slots: asyncio.Semaphore) -> tuple:
    async with slots:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname="localhost", local_addr=(address, 0)
            )
        except OSError:
            return REFUSED[kind] == b"", None
        if kind == "bodiless":
            writer.write(HEAD)
    try:
        answer = await asyncio.wait_for(reader.read(12), ANSWERED[kind])
    except (asyncio.TimeoutError, TimeoutError):
        return False, writer
    except OSError:
        answer = b""
    return answer == REFUSED[kind], writer


async def main() -> None:
    port, address, number, kind = sys.argv[1:]
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    slots = asyncio.Semaphore(AT_ONCE)
    every = (is_refused(int(port), address, tls, kind, slots) for _ in range(int(number)))
    outcomes = await asyncio.gather(*every)
    print(sum(refused for refused, _ in outcomes), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
