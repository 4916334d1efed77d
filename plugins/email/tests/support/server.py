"""A mail server somebody else wrote, and a reader somebody else wrote: what they make of our mails, a line of JSON each."""

import email
import email.policy
import json
import sys
import threading

from aiosmtpd.controller import Controller


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        defects = [str(defect) for part in mail.walk() for defect in part.defects]
        defects += [str(defect) for value in mail.values() for defect in value.defects]
        print(json.dumps({
            "from": envelope.mail_from,
            "to": ";".join(envelope.rcpt_tos),
            "names": ";".join(mail.keys()),
            "subject": mail["Subject"],
            "type": mail["X-Metlog-Type"],
            "shown": ";".join(address.addr_spec for address in mail["To"].addresses),
            "name": mail["From"].addresses[0].display_name,
            "date": mail["Date"].datetime.isoformat(),
            "body": mail.get_content(),
            "defects": "; ".join(defects),
        }), flush=True)
        return "250 taken"


controller = Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]))
controller.start()
print("{}", flush=True)
threading.Event().wait()
