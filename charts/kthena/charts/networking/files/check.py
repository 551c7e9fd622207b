"""What `helm test` runs in a pod: every URL that it is given answers, and says what it should.

An argument is a URL, or a URL, `=` and a text that its body has to hold. Each gets a line; exit status 1 where one does
not.
"""

import ssl
import sys
import urllib.error
import urllib.request

PATIENCE = 10.0

failed = False
# Whether the certificate is trusted is for clients to say; here it matters that somebody answers.
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
for argument in sys.argv[1:]:
    url, _, wanted = argument.partition("=")
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:  # noqa: S310 - the chart's own URLs
            body = answer.read().decode(errors="replace")
    except (OSError, urllib.error.URLError) as problem:
        print(f"{url}: {problem}")
        failed = True
        continue
    if wanted not in body:
        print(f"{url}: answers, but without {wanted!r}: {body[:200]}")
        failed = True
    else:
        print(f"{url}: ok")
sys.exit(failed)
