"""An SMTP server of aiosmtpd: certificate, key, a port that offers STARTTLS, a port that requires it."""

import asyncio
import functools
import ssl
import sys

from aiosmtpd.smtp import SMTP


class Log:
    async def handle_DATA(self, server, session, envelope):
        tls = server.transport.get_extra_info("ssl_object")
        print("letter", f"over {tls.version()}" if tls else "in clear", flush=True)
        print(envelope.content.decode("utf-8", "replace"), flush=True)
        return "250 OK"


async def main(certificate, key, offers, requires):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    for port, required in (offers, False), (requires, True):
        smtp = functools.partial(SMTP, Log(), hostname="onion.test", tls_context=context, require_starttls=required)
        await loop.create_server(smtp, "127.0.0.1", int(port))
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
