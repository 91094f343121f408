"""How the peer starts, nests and stops TLS with exactly one owner for every byte.

The problem
    TLS starts, nests and stops on a live connection. Each start and each stop is a point in the
    stream of bytes, and each byte on either side of that point must find its owner.

The picture
    session or script      reads and writes at the top
         TlsLayer 2        takes its records from layer 1, sends its records through layer 1
         TlsLayer 1        takes its records from the wire, sends its records through the wire
         Wire              one blocking socket

    Every level is a `Stream`. It owns `inbound`: the bytes it has received and nobody has taken.

The rule: a TLS layer takes exactly one record at a time from the stream below
    First the header of five bytes, then as many bytes as the header says, never more. So a
    start and a stop move no byte:

    * What follows the STARTTLS line is still in `inbound` of the level where the line was read.
      The handshake takes it as TLS. A ClientHello sent along with the line is welcome, and
      plaintext smuggled behind the line can only break the handshake.
    * What follows a close_notify is in `inbound` of the level below. Peeling the layer uncovers it.
    * Plaintext that a layer has decrypted and nobody has taken dies with the layer. It is never
      shown as bytes of the level below.

How a layer stops
    Each side sends one close_notify. A layer has two halves, and a close_notify shuts one of them.

    * The write half: after our close_notify the layer sends nothing more. What we have to say
      next goes through the level below, behind the close_notify.
    * The read half: the peer may have been talking while our close_notify was on its way. What it
      said is still of this layer, so we read on until the peer's close_notify. Only then is the
      layer peeled.
    * The end of the level below, before the peer's close_notify, is a truncation: always an error.
    * Bytes that are no TLS record, where a record is due, are an error too: no downgrade.
    * If both sides send at once, each takes the other's close_notify as the answer.
    * A close_notify that nobody announced is answered in kind, and the layer is peeled.

The modules, from the wire upwards; each imports only those before it
    stream.py        Stream and Wire: bytes that stay until somebody takes them
    tls.py           TlsLayer: one TLS session over the stream below
    connection.py    Connection: the wire and its layers, spliced and peeled
    syntax.py        the arguments of commands
    server.py        Session: answers the commands
    faulty.py        FaultySession: a session with one fault, for negative tests
    client.py        Client: runs a script of steps and checks every answer

Python 3.11 and its standard library, nothing else.
"""
