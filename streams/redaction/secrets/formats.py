"""Keys and tokens whose prefix and length say what they are.

The prefixes and lengths are those that the services document for their keys, or that their keys have when they give
none. GitHub and npm end a token in a checksum: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
"""

from __future__ import annotations

import re
import string
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from streams.redaction import Finding

SHORTEST: Final = 20
"""The least characters of any format: a text whose chunks between white space are all shorter holds none of them."""

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
CHECKSUM_CHARS: Final = 6
_UNCHECKED_SCORE: Final = 0.95
"""Of a token with a checksum that does not match: cut short, mistyped or made up."""

_END: Final = r"(?![A-Za-z0-9_])"
_NO_BASE64: Final = r"(?<![+/=]EAA[A-Z])"
"""Zeros in base64 are runs of A, so that this prefix is common inside an encoded image."""


class _Format(NamedTuple):
    """Each of `literals` begins a token of this name; `body` is the pattern of what follows."""

    name: str
    type: str
    literals: tuple[str, ...]
    body: str
    score: float = 1.0


def _fixed(charset: str, count: int) -> str:
    return f"[{charset}]{{{count}}}{_END}"


def _open(charset: str, least: int, most: int | None = None) -> str:
    """A run of its own characters. With a digit among its first 64: what is made of words alone is a name."""
    return rf"(?=[{charset}]{{0,64}}[0-9])[{charset}]{{{least},{most or ''}}}+"


_ALNUM: Final = "A-Za-z0-9"
_URL64: Final = "A-Za-z0-9_-"
_HEX: Final = "0-9a-f"
_KEY: Final = "API_KEY"
_TOKEN: Final = "ACCESS_TOKEN"

_FORMATS: Final = (
    # clouds
    _Format("aws-access-key-id", _KEY, ("AKIA", "ASIA", "ABIA", "ACCA"), _fixed("A-Z0-9", 16)),
    _Format("aws-bedrock", _KEY, ("ABSKQmVkcm9ja0FQSUtleS",), _open("A-Za-z0-9+/=", 40)),
    _Format("gcp-api-key", _KEY, ("AIza",), _fixed(_URL64, 35)),
    _Format("google-oauth-client", _KEY, ("GOCSPX-",), _fixed(_URL64, 28)),
    _Format("google-oauth-token", _TOKEN, ("ya29.",), _open("A-Za-z0-9_.-", 20)),
    _Format("google-refresh-token", _TOKEN, ("1//0",), _open(_URL64, 30)),
    _Format("alibaba", _KEY, ("LTAI",), _open(_ALNUM, 16, 24) + _END, 0.9),
    _Format("digitalocean", _KEY, ("dop_v1_", "doo_v1_", "dor_v1_"), _fixed(_HEX, 64)),
    _Format("heroku", _KEY, ("HRKU-",), _open(_URL64, 36)),
    _Format("databricks", _KEY, ("dapi",), rf"[{_HEX}]{{32}}(?:-[0-9])?{_END}"),
    _Format("flyio", _TOKEN, ("fo1_", "fm1r_", "fm2_"), _open("A-Za-z0-9_+/=,-", 40)),
    _Format("supabase", _KEY, ("sbp_", "sb_secret_"), _open(_URL64, 20)),
    _Format("planetscale", _TOKEN, ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), _open("A-Za-z0-9_=.-", 32)),
    _Format("netlify", _TOKEN, ("nfp_",), _open(_ALNUM, 36)),
    _Format("render", _KEY, ("rnd_",), _open(_ALNUM, 28)),
    _Format("pulumi", _TOKEN, ("pul-",), _fixed(_HEX, 40)),
    _Format("doppler", _TOKEN, ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa."), _open("A-Za-z0-9_.-", 40)),
    _Format("vault", _TOKEN, ("hvs.", "hvb.", "hvr."), _open(_URL64, 24)),
    _Format("tailscale", _KEY, ("tskey-",), _open(_URL64, 20)),
    # code and packages
    _Format("github", _TOKEN, ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rf"[{_ALNUM}]{{36,251}}+{_END}"),
    _Format("github-fine-grained", _TOKEN, ("github_pat_",), _open("A-Za-z0-9_", 50)),
    _Format(
        "gitlab",
        _TOKEN,
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-", "gloas-"),
        _open("A-Za-z0-9_.-", 16),
    ),
    _Format("gitlab-runner", _TOKEN, ("GR1348941",), _open(_URL64, 20)),
    _Format("npm", _TOKEN, ("npm_",), _fixed(_ALNUM, 36)),
    _Format("pypi", _TOKEN, ("pypi-",), r"AgE[A-Za-z0-9_-]{40,}+"),
    _Format("rubygems", _KEY, ("rubygems_",), _fixed(_HEX, 48)),
    _Format("docker-hub", _TOKEN, ("dckr_pat_", "dckr_oat_"), _open(_URL64, 24)),
    _Format("sonarqube", _TOKEN, ("squ_", "sqp_", "sqa_"), _fixed(_HEX, 40)),
    _Format("artifactory", _KEY, ("AKCp",), _open(_ALNUM, 60)),
    _Format("buildkite", _TOKEN, ("bkua_",), _fixed(_HEX, 40)),
    _Format("circleci", _TOKEN, ("CCIPAT_", "CCIPRJ_"), _open("A-Za-z0-9_", 40)),
    # models
    _Format("anthropic", _KEY, ("sk-ant-",), _open(_URL64, 24)),
    _Format("openai", _KEY, ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"), _open(_URL64, 24)),
    _Format("openrouter", _KEY, ("sk-or-v1-",), _open(_HEX, 32)),
    _Format("sk-key", _KEY, ("sk-",), _open(_ALNUM, 32) + _END, 0.95),
    _Format("hugging-face", _TOKEN, ("hf_",), _open(_ALNUM, 30) + _END),
    _Format("hugging-face-org", _TOKEN, ("api_org_",), _open(_ALNUM, 30) + _END),
    _Format("groq", _KEY, ("gsk_",), _open(_ALNUM, 40) + _END),
    _Format("xai", _KEY, ("xai-",), _open(_ALNUM, 60) + _END),
    _Format("perplexity", _KEY, ("pplx-",), _open(_ALNUM, 40) + _END),
    _Format("replicate", _KEY, ("r8_",), _open(_ALNUM, 37) + _END),
    _Format("nvidia", _KEY, ("nvapi-",), _open(_URL64, 50)),
    _Format("langsmith", _KEY, ("lsv2_pt_", "lsv2_sk_"), _open("0-9a-f_", 40)),
    _Format("pinecone", _KEY, ("pcsk_",), _open("A-Za-z0-9_", 40)),
    # chat and mail
    _Format("slack", _TOKEN, ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxc-", "xoxd-"), _open("A-Za-z0-9%-", 15)),
    _Format("slack-app", _TOKEN, ("xapp-", "xoxe-", "xoxe."), _open("A-Za-z0-9.-", 20)),
    _Format("slack-webhook", _KEY, ("hooks.slack.com/",), r"(?:services|workflows|triggers)/[A-Za-z0-9_/+-]{20,}+"),
    _Format(
        "discord-webhook",
        _KEY,
        ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"),
        r"[0-9]{15,22}/[A-Za-z0-9_-]{40,}+",
    ),
    _Format("teams-webhook", _KEY, ("webhook.office.com/webhookb2/",), r"[A-Za-z0-9@/-]{40,}+"),
    _Format("twilio", _KEY, ("SK",), _fixed(_HEX, 32)),
    _Format("sendgrid", _KEY, ("SG.",), r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}+"),
    _Format("mailgun", _KEY, ("key-",), _fixed(_HEX, 32)),
    _Format("brevo", _KEY, ("xkeysib-", "xsmtpsib-"), _open("A-Za-z0-9-", 40)),
    _Format("resend", _KEY, ("re_",), r"[A-Za-z0-9]{6,12}_[A-Za-z0-9]{20,30}" + _END, 0.9),
    # money and shops
    _Format("stripe", _KEY, ("sk_live_", "sk_test_", "rk_live_", "rk_test_"), _open(_ALNUM, 16)),
    _Format("stripe-webhook", _KEY, ("whsec_",), _open("A-Za-z0-9+/=", 24)),
    _Format("shopify", _TOKEN, ("shpat_", "shpca_", "shppa_", "shpss_"), _fixed("0-9a-fA-F", 32)),
    _Format("square", _TOKEN, ("sq0atp-", "sq0csp-", "sq0idp-"), _open(_URL64, 22)),
    _Format("square-access", _TOKEN, ("EAAA",), rf"{_NO_BASE64}{_fixed(_URL64, 60)}", 0.95),
    _Format("facebook", _TOKEN, ("EAAC", "EAAG", "EAAJ", "EAAB"), _NO_BASE64 + _open(_ALNUM, 80), 0.95),
    _Format("flutterwave", _KEY, ("FLWSECK",), _open("A-Za-z0-9_-", 20)),
    _Format("razorpay", _KEY, ("rzp_live_", "rzp_test_"), _fixed(_ALNUM, 14)),
    _Format("paypal-braintree", _TOKEN, ("access_token$production$",), _open("a-z0-9$", 40)),
    _Format("easypost", _KEY, ("EZAK", "EZTK"), _open(_ALNUM, 54)),
    # work
    _Format("linear", _KEY, ("lin_api_", "lin_oauth_"), _open(_ALNUM, 32)),
    _Format("notion", _KEY, ("secret_",), _fixed(_ALNUM, 43)),
    _Format("notion-token", _KEY, ("ntn_",), _open(_ALNUM, 40)),
    _Format("atlassian", _TOKEN, ("ATATT3x", "ATCTT3x", "ATBB"), _open("A-Za-z0-9_=.-", 24)),
    _Format("dropbox", _TOKEN, ("sl.",), _open(_URL64, 100)),
    _Format("airtable", _TOKEN, ("pat",), rf"[{_ALNUM}]{{14}}\.[{_HEX}]{{64}}{_END}"),
    _Format("figma", _TOKEN, ("figd_", "figu_"), _open(_URL64, 36)),
    _Format("typeform", _TOKEN, ("tfp_",), _open(_URL64, 40)),
    _Format("contentful", _TOKEN, ("CFPAT-",), _open(_URL64, 40)),
    _Format("postman", _KEY, ("PMAK-",), _open("A-Za-z0-9-", 50)),
    # watching
    _Format("new-relic", _KEY, ("NRAK-", "NRJS-", "NRII-", "NRIQ-", "NRRA-"), _open(_URL64, 19)),
    _Format("sentry", _TOKEN, ("sntrys_", "sntryu_", "sntrya_"), _open("A-Za-z0-9_+/=-", 40)),
    _Format("grafana", _TOKEN, ("glsa_", "glc_"), _open("A-Za-z0-9_+/=", 32)),
    _Format("dynatrace", _TOKEN, ("dt0c01.", "dt0s01."), _open("A-Z0-9.", 60)),
    _Format("prefect", _KEY, ("pnu_",), _fixed(_ALNUM, 36)),
    # any
    _Format("jwt", _TOKEN, ("eyJ",), r"[A-Za-z0-9_-]{10,2048}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){0,3}"),
    _Format("age", "PRIVATE_KEY", ("AGE-SECRET-KEY-1", "AGE-PLUGIN-"), r"[A-Z0-9-]{40,}+"),
)

_INNER: Final = (
    _Format("azure-client-secret", _KEY, ("Q~",), r"[A-Za-z0-9_.~-]{3}[0-9]Q~[A-Za-z0-9_.~-]{31,34}"),
    _Format("telegram-bot", _TOKEN, (":AA",), r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,33}"),
    _Format("terraform-cloud", _TOKEN, (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{40,}+"),
    _Format("mailchimp", _KEY, ("-us",), rf"[{_HEX}]{{32}}-us[0-9]{{1,2}}{_END}"),
    _Format("new-relic-licence", _KEY, ("NRAL",), rf"[{_HEX}]{{36}}NRAL{_END}"),
)

_DISCORD: Final = re.compile(r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}+(?![A-Za-z0-9_.-])")
_DISCORD_ID: Final = re.compile(r"(?<![A-Za-z0-9_.-])[MNO][A-Za-z0-9_-]{22,27}\Z")
_DISCORD_BEFORE: Final = 29


def _at_boundary(literal: str) -> str:
    """A literal with no letter, digit or underscore before it, but for an escape (`\\n`) or a percent-encoded byte."""
    quoted = re.escape(literal)
    return rf"{quoted}(?:(?<![A-Za-z0-9_]{quoted})|(?<=\\[nrt]{quoted})|(?<=%[0-9A-Fa-f][0-9A-Fa-f]{quoted}))"


_BY_LITERAL: Final = tuple(
    (literal, form, re.compile(_at_boundary(literal) + form.body)) for form in _FORMATS for literal in form.literals
)
_BY_INNER: Final = tuple((form.literals[0], form, re.compile(rf"(?<![A-Za-z0-9_]){form.body}")) for form in _INNER)
_INNER_BEFORE: Final = {"Q~": (4,), ":AA": (8, 9, 10), ".atlasv1.": (14,), "-us": (32,), "NRAL": (36,)}
"""How many characters a token of the format has before its literal."""

RULES: Final = (*(repr(form) for form in (*_FORMATS, *_INNER)), _DISCORD.pattern, _DISCORD_ID.pattern)


def found(text: str) -> Iterator[Finding]:
    """Findings of all formats in a text."""
    chunks = [chunk for chunk in text.split() if len(chunk) >= SHORTEST]
    if not chunks:
        return
    long_chunks = " ".join(chunks)  # far shorter than the text, and looked through once a literal
    for literal, form, pattern in _BY_LITERAL:
        if literal in long_chunks:
            for match in pattern.finditer(text):
                score = _checked(match[0], len(literal)) if form.name in ("github", "npm") else form.score
                yield Finding(form.type, match.start(), match.end(), score, f"secrets:{form.name}")
    for literal, form, pattern in _BY_INNER:
        if literal in long_chunks:
            for start, end in _around(text, literal, pattern):
                yield Finding(form.type, start, end, form.score, f"secrets:{form.name}")
    for match in _DISCORD.finditer(text):
        start = max(0, match.start() - _DISCORD_BEFORE)
        if identity := _DISCORD_ID.search(text[start : match.start()]):
            yield Finding(_TOKEN, start + identity.start(), match.end(), 1.0, "secrets:discord-bot")


def _around(text: str, literal: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Matches that hold the literal at its place in the format."""
    at = text.find(literal)
    while at >= 0:
        for before in _INNER_BEFORE[literal]:
            if at >= before and (match := pattern.match(text, at - before)):
                yield match.span()
        at = text.find(literal, at + 1)


def _checked(token: str, prefix_chars: int) -> float:
    body, checksum = token[prefix_chars:-CHECKSUM_CHARS], token[-CHECKSUM_CHARS:]
    return 1.0 if checksum == base62_checksum(body) else _UNCHECKED_SCORE


def base62_checksum(body: str) -> str:
    """The CRC-32 of a token's random part, six characters of base 62."""
    rest, digits = zlib.crc32(body.encode()), ""
    while rest:
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits.rjust(CHECKSUM_CHARS, "0")
