"""Talks to a server with STARTTLS: what to talk, port, name in the certificate, authority, user, password."""

import ftplib
import imaplib
import io
import os
import poplib
import smtplib
import ssl
import sys

what, port, name, authority, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
host, port, patience = "127.0.0.1", int(port), 10


def smtp():
    with smtplib.SMTP(host, port, local_hostname="client.example", timeout=patience) as client:
        client.set_debuglevel(1)
        client._host = name  # what the certificate is checked for
        client.starttls(context=context)
        letter = "Subject: from smtplib\r\n\r\nonion\r\n.\r\n"
        refused = client.sendmail("sender@client.example", f"{user}@{name}", letter)
        assert not refused, refused


def imap():
    with imaplib.IMAP4(host, port, timeout=patience) as client:
        client.debug = 4
        client.host = name
        client.starttls(context)
        client.login(user, password)
        status, _ = client.select(readonly=True)
        assert status == "OK", status


def pop3():
    client = poplib.POP3(host, port, timeout=patience)
    client.set_debuglevel(1)
    client.host = name
    client.stls(context)
    client.user(user)
    client.pass_(password)
    client.stat()
    client.quit()


def ftp(clear=False):
    client = ftplib.FTP_TLS(context=context, timeout=patience)
    client.set_debuglevel(1)
    client.connect(host, port)
    client.host = name
    client.auth()
    client.login(user, password)
    client.prot_p()
    if clear:
        client.ccc()
    sent, fetched = bytes(range(256)) * 500, io.BytesIO()
    stored = f"from-python-{os.getpid()}"  # cases run side by side
    client.storbinary(f"STOR {stored}", io.BytesIO(sent))
    client.retrbinary(f"RETR {stored}", fetched.write)
    assert fetched.getvalue() == sent, "another file came back"
    client.quit()


def nntp():
    import nntplib  # gone from Python 3.13

    with nntplib.NNTP(host, port, timeout=patience) as client:
        client.set_debuglevel(1)
        client.host = name
        client.starttls(context)
        _, groups = client.list()
        for group in groups:
            print("group", group.group)


def get(clear=False):
    client = ftplib.FTP_TLS(context=context, timeout=patience)
    client.connect(host, port)
    client.host = name
    client.auth()
    client.login()
    client.prot_p()
    if clear:
        client.ccc()
    client.retrbinary("RETR large", sys.stdout.buffer.write)
    client.quit()


talks = {
    "smtp": smtp,
    "imap": imap,
    "pop3": pop3,
    "nntp": nntp,
    "ftp": ftp,
    "ftp-ccc": lambda: ftp(clear=True),
    "ftp-get": get,
    "ftp-get-ccc": lambda: get(clear=True),
}
talks[what]()
print("content")
