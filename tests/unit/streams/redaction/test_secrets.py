"""Secrets in text. Every token here is put together at run time, so that no scanner takes this file for a leak."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.redaction.redactor import covering
from streams.redaction.secrets import Secrets
from streams.redaction.secrets.formats import base62_checksum
from streams.redaction.secrets.shapes import entropy_bits, looks_random, templated

SECRETS = Secrets()
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def drawn(charset: str, count: int, seed: str = "") -> str:
    """A random run that starts with a digit, a lower and an upper letter of the charset, where it has them."""
    rng = random.Random(f"{charset}{count}{seed}")
    first = [next((c for c in charset if kind(c)), "") for kind in (str.isdigit, str.islower, str.isupper)]
    return ("".join(first) + "".join(rng.choice(charset) for _ in range(count)))[:count]


def pem(kind: str, lines: int = 3, newline: str = "\n") -> str:
    edge, name = "-" * 5, f"{kind} PRIVATE" + " KEY"
    body = [drawn(ALNUM, 64, str(line)) for line in range(lines)]
    return newline.join((f"{edge}BEGIN {name}{edge}", *body, f"{edge}END {name}{edge}"))


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def checked(prefix: str, count: int) -> str:
    body = drawn(ALNUM, count)
    return prefix + body + base62_checksum(body)


UUID = f"{drawn(HEX, 8)}-{drawn(HEX, 4)}-4{drawn(HEX, 3)}-8{drawn(HEX, 3)}-{drawn(HEX, 12)}"
URL64 = ALNUM + "-_"
JWT = ".".join((encoded({"alg": "HS256", "typ": "JWT"}), encoded({"sub": "1", "name": "x"}), drawn(ALNUM, 43)))

FORMATS: list[tuple[str, str]] = [
    ("API_KEY", "AK" + "IA" + drawn(string.ascii_uppercase + "234567", 16)),
    ("API_KEY", "AS" + "IA" + drawn(string.ascii_uppercase + "234567", 16)),
    ("API_KEY", "AI" + "za" + drawn(ALNUM, 35)),
    ("API_KEY", "GOC" + "SPX-" + drawn(ALNUM, 28)),
    ("ACCESS_TOKEN", "ya" + "29." + drawn(ALNUM, 60)),
    ("API_KEY", "abC" + "8Q" + "~" + drawn(ALNUM, 34)),
    ("ACCESS_TOKEN", checked("gh" + "p_", 30)),
    ("ACCESS_TOKEN", checked("gh" + "s_", 30)),
    ("ACCESS_TOKEN", "github" + "_pat_" + drawn(ALNUM, 22) + "_" + drawn(ALNUM, 59)),
    ("ACCESS_TOKEN", "glp" + "at-" + drawn(ALNUM, 20)),
    ("ACCESS_TOKEN", checked("np" + "m_", 30)),
    ("ACCESS_TOKEN", "py" + "pi-" + "AgE" + drawn(ALNUM, 60)),
    ("ACCESS_TOKEN", "dckr" + "_pat_" + drawn(ALNUM, 27)),
    ("ACCESS_TOKEN", "xo" + "xb-" + drawn(string.digits, 12) + "-" + drawn(ALNUM, 24)),
    ("ACCESS_TOKEN", "xa" + "pp-1-" + drawn(ALNUM, 30)),
    ("API_KEY", "hooks.slack" + ".com/services/T" + drawn(ALNUM, 8) + "/B" + drawn(ALNUM, 8) + "/" + drawn(ALNUM, 24)),
    ("ACCESS_TOKEN", "MT" + drawn(ALNUM, 22) + "." + drawn(ALNUM, 6) + "." + drawn(ALNUM, 38)),
    ("API_KEY", "discord.com/api" + "/webhooks/" + drawn(string.digits, 18) + "/" + drawn(ALNUM, 68)),
    ("ACCESS_TOKEN", drawn(string.digits, 9) + ":A" + "A" + drawn(ALNUM, 33)),
    ("API_KEY", "sk" + "_live_" + drawn(ALNUM, 24)),
    ("API_KEY", "rk" + "_test_" + drawn(ALNUM, 24)),
    ("API_KEY", "wh" + "sec_" + drawn(ALNUM, 32)),
    ("API_KEY", "S" + "K" + drawn(HEX, 32)),
    ("API_KEY", "S" + "G." + drawn(ALNUM, 22) + "." + drawn(ALNUM, 43)),
    ("API_KEY", "ke" + "y-" + drawn(HEX, 32)),
    ("API_KEY", drawn(HEX, 32) + "-us" + "12"),
    ("API_KEY", "sk" + "-" + drawn(ALNUM, 48)),
    ("API_KEY", "sk" + "-proj-" + drawn(URL64, 120)),
    ("API_KEY", "sk" + "-svcacct-" + drawn(URL64, 120)),
    ("API_KEY", "sk" + "-ant-api03-" + drawn(URL64, 92) + "AA"),
    ("ACCESS_TOKEN", "h" + "f_" + drawn(ALNUM, 34)),
    ("API_KEY", "do" + "p_v1_" + drawn(HEX, 64)),
    ("API_KEY", "da" + "pi" + drawn(HEX, 32)),
    ("ACCESS_TOKEN", "sh" + "pat_" + drawn(HEX, 32)),
    ("ACCESS_TOKEN", "sq0" + "atp-" + drawn(ALNUM, 22)),
    ("API_KEY", "lin" + "_api_" + drawn(ALNUM, 40)),
    ("API_KEY", "nt" + "n_" + drawn(ALNUM, 46)),
    ("API_KEY", "secret" + "_" + drawn(ALNUM, 43)),
    ("ACCESS_TOKEN", "ATA" + "TT3x" + drawn(ALNUM, 180) + "=" + drawn(HEX, 8)),
    ("ACCESS_TOKEN", "s" + "l." + drawn(URL64, 130)),
    ("API_KEY", "NR" + "AK-" + drawn(string.ascii_uppercase + string.digits, 27)),
    ("ACCESS_TOKEN", "hv" + "s." + drawn(ALNUM, 90)),
    ("ACCESS_TOKEN", drawn(ALNUM, 14) + ".atl" + "asv1." + drawn(ALNUM, 67)),
    ("API_KEY", "PM" + "AK-" + drawn(HEX, 24) + "-" + drawn(HEX, 34)),
    ("ACCESS_TOKEN", "gl" + "sa_" + drawn(ALNUM, 32) + "_" + drawn(HEX, 8)),
    ("PRIVATE_KEY", "AGE-SECRET" + "-KEY-1" + drawn(string.ascii_uppercase + string.digits, 58)),
    ("ACCESS_TOKEN", JWT),
    ("PRIVATE_KEY", pem("RSA")),
    ("PRIVATE_KEY", pem("OPENSSH")),
    ("PRIVATE_KEY", pem("ENCRYPTED", newline="\\n")),
    ("PRIVATE_KEY", pem("EC", newline="\\\\n")),
    ("PRIVATE_KEY", pem("RSA").rpartition("\n")[0]),
    ("PRIVATE_KEY", pem("RSA").rpartition("\n")[0][:-20]),
    ("CONNECTION_STRING", "postgres" + "://app:" + drawn(ALNUM, 12) + "@db.internal"),
    ("CONNECTION_STRING", "redis" + "://:" + drawn(ALNUM, 8) + "@cache"),
    ("CONNECTION_STRING", "mongodb+srv" + "://u:p@ss/" + drawn(ALNUM, 5) + "@c0.example.net"),
    ("CONNECTION_STRING", "https" + "://" + drawn(HEX, 32) + "@o12.ingest.example.io"),
    ("CONNECTION_STRING", "jdbc:oracle" + ":thin:scott/" + drawn(ALNUM, 8) + "@//db:1521/x"),
]

IN_CONTEXT: list[tuple[str, str, str]] = [
    ("PASSWORD", "password: {}", "hunter2"),
    ("PASSWORD", "password: {}", "changeme123"),
    ("PASSWORD", "password={}&user=bob", "swordfish"),
    ("PASSWORD", "Password: {}\nUser: bob", "swordfish"),
    ("PASSWORD", "user: bob, password: {}, host: x", "swordfish"),
    ("PASSWORD", "my password is {}, ok?", "hunter2"),
    ("PASSWORD", "My password is {}.", "swordfish"),
    ("PASSWORD", "the pwd was: {}", "Tr0ub4dor&3"),
    ("PASSWORD", "password for the wifi is {} now", "blue42sky"),
    ("PASSWORD", "Password (admin): {}", "Zebra!9"),
    ("PASSWORD", "Password - {}", "hunter2"),
    ("PASSWORD", '{{"password": "{}"}}', "correct horse battery staple"),
    ("PASSWORD", '{{"password": "{}"}}', r"a\"b\"c1"),
    ("PASSWORD", r"{{\"password\": \"{}\"}}", "hunter22"),
    ("PASSWORD", "DB_PASS={}", "abc123x"),
    ("PASSWORD", "PGPASSWORD='{}' psql", "x y z1"),
    ("PASSWORD", "<password>{}</password>", "hunter2"),
    ("PASSWORD", "| password | {} |", "hunter2"),
    ("PASSWORD", "username bob password {}", "hunter2"),
    ("PASSWORD", "mysql --password {} -h x", "hunter22"),
    ("PASSWORD", "curl -u {} https://example.com", "admin:hunter2"),
    ("PASSWORD", "passwort: {}", "geheim42"),
    ("PASSWORD", "密码：{}", "hunter2x"),
    ("PASSWORD", "secret: {}", "8dK3ks9Lq"),
    ("PASSWORD", "seed phrase: {}", "apple river stone cloud tiger lemon piano grass ocean table chair window"),
    ("CONNECTION_STRING", "Server=db;Database=x;User Id=sa;Password={};Encrypt=yes", "p@ssw0rd x"),
    ("CONNECTION_STRING", "jdbc:sqlserver://db;user=sa;password={};", "abc$def"),
    ("CONNECTION_STRING", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};", drawn(ALNUM, 86) + "=="),
    ("ACCESS_TOKEN", "https://a.blob.example.net/c?sv=2022-11-02&sig={}&se=1", drawn(ALNUM, 43) + "%3D"),
    ("API_KEY", 'api_key = "{}"', drawn(ALNUM, 20)),
    ("API_KEY", "X-Api-Key: {}", drawn(HEX, 32)),
    ("API_KEY", "HEROKU_API_KEY={}", UUID),
    ("API_KEY", "Heroku: {}", UUID),
    ("API_KEY", "cloudflare api key: {}", drawn(HEX, 37)),
    ("API_KEY", "DD_APP_KEY={}", drawn(HEX, 40)),
    ("API_KEY", "the datadog api key is {} thanks", drawn(HEX, 32)),
    ("API_KEY", "client_secret: {}", drawn(ALNUM, 30)),
    ("API_KEY", "aws_secret_access_key = {}", drawn(ALNUM, 40)),
    ("API_KEY", "AK" + "IA" + "Q" * 8 + "ABCDEFG2,{}", drawn(ALNUM, 40)),
    ("API_KEY", "AZURE_STORAGE_KEY={}", drawn(ALNUM, 86) + "=="),
    ("API_KEY", '"private_key_id": "{}"', drawn(HEX, 40)),
    ("PRIVATE_KEY", "my private key is 0x{}", drawn(HEX, 64)),
    ("PRIVATE_KEY", '{{"kty":"OKP","crv":"Ed25519","d":"{}"}}', drawn(ALNUM, 43)),
    ("ACCESS_TOKEN", "cloudflare token: {}", drawn(ALNUM, 40)),
    ("ACCESS_TOKEN", "Authorization: Bearer {}", drawn(ALNUM, 40)),
    ("ACCESS_TOKEN", "Authorization: Basic {}", base64.b64encode(b"user:some password").decode()),
    ("ACCESS_TOKEN", "Set-Cookie: sid={}; Path=/", drawn(ALNUM, 24)),
    ("ACCESS_TOKEN", "Cookie: a=b; session={}", drawn(ALNUM, 24)),
    ("ACCESS_TOKEN", "PHPSESSID={}", drawn(ALNUM, 26)),
    ("ACCESS_TOKEN", '"access_token":"{}"', drawn(ALNUM, 40)),
    ("ACCESS_TOKEN", "tool --token {} run", drawn(ALNUM, 40)),
]

LOOK_ALIKES = [
    "I forgot my password and cannot log in",
    "What is the password? My password is wrong.",
    "my password is not working, is your password secure?",
    "The password is 8 characters long.",
    "Password must contain 8 characters",
    "password: must be 12 characters",
    "Password: 8-16 characters",
    "Password: required",
    "Passwords: 10 tips for 2024 users",
    "password is case-sensitive",
    "password reset: https://example.com/reset?x=1",
    "passport: 12, compass: 4, Pass: 10, Fail: 3",
    "the password is: your birthday",
    "the token was sold",
    "secret: don't tell anyone",
    "The secret is to use 2 eggs, and the key is under the mat",
    "secret: 1000 people know",
    "he was a bearer of bad news 2023",
    "password: ${DB_PASSWORD}",
    "password: {password}",
    "password: {{ vault_password }}",
    "password: ********",
    'password: ""',
    "api_key=YOUR_API_KEY",
    "api_key: xxxxxxxxxxxxxxxxxxxx",
    "token: <token>",
    "Authorization: Bearer $TOKEN",
    "password = os.environ['X1']",
    "password=getpass()",
    "password: str = None",
    "password: Optional[str]",
    "password: string;",
    "login(user=user, password=password)",
    "const password = userPassword;",
    "if (password != null) return password == confirm_password",
    "token = tokens[0]",
    "max_tokens: 4096, tokens: 128000",
    "token: my-token-name-v2",
    "tokenizer: bert-base-uncased2",
    "secretName: tls-cert-v2",
    "public_key_path=/etc/ssl/key1.pem",
    "keyboard: qwerty12345678",
    "postgres://user:${PASSWORD}@host/db",
    "https://medium.com:443/@user and https://user@example.com/x",
    "see https://example.com:8080/path?q=a@b.c",
    f"commit {drawn(HEX, 40)}, sha256:{drawn(HEX, 64)}",
    f"request {UUID}",
    f"![x](data:image/png;base64,{base64.b64encode(random.Random(1).randbytes(600)).decode()})",
    "ssh-rsa " + drawn(ALNUM, 200) + " me@host",
    "-" * 5 + "BEGIN PUBLIC KEY" + "-" * 5 + "\n" + drawn(ALNUM, 64),
    "-" * 5 + "BEGIN CERTIFICATE" + "-" * 5 + "\n" + drawn(ALNUM, 64),
    "The header says BEGIN RSA PRIVATE KEY and then the key.",
    "risk-averse task-force sk-learn ghp_short hf_hub",
    "<PASSWORD_1> and <PASSWORD:af2e3d4c>",
    "password: <PASSWORD_1>",
    "api key: <API_KEY:af2e3d4c>, token=<ACCESS_TOKEN:a9887766>",
]


def spans(text: str) -> list[tuple[str, str]]:
    return [(finding.type, text[finding.start : finding.end]) for finding in covering(SECRETS.analyze(text))]


@pytest.mark.parametrize(("kind", "value"), FORMATS, ids=[value[:12] for _, value in FORMATS])
def test_a_known_format_is_found_at_its_exact_place(kind: str, value: str) -> None:
    assert spans(f"see {value} there") == [(kind, value)]
    assert spans(f'("{value}")') == [(kind, value)]


@pytest.mark.parametrize(("kind", "template", "value"), IN_CONTEXT, ids=[template for _, template, _ in IN_CONTEXT])
def test_a_value_after_its_word_is_found_at_its_exact_place(kind: str, template: str, value: str) -> None:
    text = template.format(value)
    assert (kind, value.rstrip(";")) in [(found, covered.removeprefix("0x")) for found, covered in spans(text)]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_look_alike_is_not_found(text: str) -> None:
    assert spans(text) == []


@pytest.mark.parametrize("text", ["password: <PASSWORD_1> or hunter2", "postgres://<PERSON_1>:hunter2x@host"])
def test_a_placeholder_is_never_part_of_a_finding(text: str) -> None:
    start, end = text.index("<"), text.index(">") + 1
    assert not [finding for finding in SECRETS.analyze(text) if finding.start < end and start < finding.end]


def test_a_credential_beside_a_placeholder_is_still_found() -> None:
    assert "hunter2x" in spans("postgres://<PERSON_1>:hunter2x@host")[-1][1]


def test_a_matching_checksum_lifts_the_score() -> None:
    token = checked("gh" + "p_", 30)
    other = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert [finding.score for finding in SECRETS.analyze(token)] == [1.0]
    assert [finding.score for finding in SECRETS.analyze(other)] == [0.95]


def test_every_finding_names_its_rule_and_has_a_score_up_to_one() -> None:
    found = [finding for _, value in FORMATS for finding in SECRETS.analyze(value)]
    found += [finding for _, template, value in IN_CONTEXT for finding in SECRETS.analyze(template.format(value))]
    assert all(finding.rule.startswith("secrets:") and 0.6 <= finding.score <= 1.0 for finding in found)


def test_equal_rules_have_equal_versions() -> None:
    assert Secrets().version == SECRETS.version
    assert len(SECRETS.version) == 16


def test_a_token_after_an_escaped_line_break_or_a_percent_encoded_byte_is_found() -> None:
    token = checked("gh" + "p_", 30)
    assert spans(f"x\\n{token}") == [("ACCESS_TOKEN", token)]
    assert spans(f"x%3D{token}") == [("ACCESS_TOKEN", token)]


def test_a_letter_whose_lower_case_is_longer_does_not_move_the_offsets() -> None:
    assert ("PASSWORD", "hunter2") in spans("İİİ password: hunter2")


@pytest.mark.parametrize("value", ["${A}", "<token>", "YOUR_API_KEY", "xxxxxxxx", "****", "$TOKEN", "{password}", "%s"])
def test_a_template_is_no_value(value: str) -> None:
    assert templated(value)


@pytest.mark.parametrize("value", ["hunter2", "changeme123", "1111", "P@ss"])
def test_a_real_password_is_no_template(value: str) -> None:
    assert not templated(value)


def test_entropy_is_that_of_the_characters() -> None:
    assert entropy_bits("aaaa") == 0
    assert entropy_bits("abcd") == 2
    assert entropy_bits("aabb") == 1


@pytest.mark.parametrize(
    "value", ["my-token-name-v2", "getAccessTokenFromStore", "/etc/ssl/key1.pem", "aaaaaaaaaaaa1a"]
)
def test_names_paths_and_repetitions_do_not_look_random(value: str) -> None:
    assert not looks_random(value)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_analysed_and_its_offsets_are_valid(text: str) -> None:
    for finding in SECRETS.analyze(text):
        assert 0 <= finding.start < finding.end <= len(text)


PIECES = [
    *(
        "password",
        "secret",
        "token",
        "api key",
        "://",
        "@",
        ":",
        "=",
        " is ",
        '"',
        "'",
        "<",
        ">",
        "\n",
        "\\n",
        ";",
        "eyJ",
    ),
    *(
        "Cookie: ",
        "a1B2c3D4e5F6g7H8",
        "hunter2",
        "<PASSWORD_1>",
        "İ",
        "密码",
        "Basic ",
        "Bearer ",
        "sig=",
        "server=",
        "|",
        " ",
    ),
    *("-" * 5 + "BEGIN PRIVATE KEY" + "-" * 5, "-" * 5 + "END PRIVATE KEY" + "-" * 5, "Q~", ":AA", "AKIA", "pwd", "."),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_mix_of_triggers_is_analysed_and_placeholders_stay(text: str) -> None:
    for finding in SECRETS.analyze(text):
        assert 0 <= finding.start < finding.end <= len(text)
        assert "<PASSWORD_1>" not in text[finding.start : finding.end]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FORMATS), st.text(max_size=60), st.text(max_size=60), st.sampled_from(" \n\t\"'(),;"), st.randoms()
)
def test_a_secret_is_found_whole_in_any_surroundings(
    secret: tuple[str, str], before: str, after: str, edge: str, rng: random.Random
) -> None:
    _, value = secret
    text = f"{before}{edge}{value}{rng.choice(' ,;)')}{after}"
    start = len(before) + 1
    assert any(
        finding.start <= start and start + len(value) <= finding.end for finding in covering(SECRETS.analyze(text))
    )


def adversarial() -> Iterator[str]:
    yield from (".", "1", "@", " ", "[", "a", "=", "-", "\n", "password=", "password ", "password is ", "password for ")
    yield from (
        "://",
        "postgres://",
        "a://b:c@",
        "-----BEGIN ",
        "-----BEGIN PRIVATE" + " KEY-----",
        "eyJ",
        "eyJ-",
        "eyJa.",
    )
    yield from ("token=", "api key ", "_key=", "pwd", "Q~", ":AA", "-us", ".atlasv1.", "cookie: ", "Password=x;server=")
    yield from (
        "basic aaaaaaa ",
        "bearer a",
        "sk-",
        "xo" + "xb-",
        "<PASSWORD_1>",
        "password>",
        "password |",
        "|",
        "\\n",
    )
    yield from (
        "PuTTY-User-Key-File-2: ",
        "abc ",
        "seed phrase is abc ",
        "aaaaaa.",
        "AbCdEfGh12+/",
        "secret",
        '{"password":"',
    )


@pytest.mark.parametrize("unit", list(adversarial()))
def test_the_time_grows_with_the_length_and_no_faster(unit: str) -> None:
    text = unit * (100_000 // len(unit)) + " private key secret"
    started_s = time.process_time()
    SECRETS.analyze(text)
    assert time.process_time() - started_s < 6  # quadratic: minutes
