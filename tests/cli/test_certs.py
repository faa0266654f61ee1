"""`kecs proxy certs` on this machine's authority: every command, its output, its exit code."""

import json
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from rich.console import Console

from kecs.aws.hosts import SUFFIXES
from kecs.certs.authority import certificate_pem, issue_issuer, issue_root, key_pem
from kecs.certs.outcome import Action
from kecs.certs.state import Phase
from kecs.cli import main as command_line
from kecs.cli.certs import certs_group
from kecs.cli.certs_embedded import EmbeddedPlace
from kecs.cli.certs_place import Asked
from kecs.cli.certs_progress import Progress
from kecs.cli.certs_rotation import Ending, Wanted
from kecs.core.errors import AuthorityError, KecsError, UsageError
from kecs.local.authority import Embedded
from kecs.local.options import CertsOptions
from kecs.local.running import Registration, registered

NOW = datetime.now(UTC)
HOST = "s3.eu-west-1.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A home with an authority."""

    home: Path

    @property
    def embedded(self) -> Embedded:
        return Embedded.of(CertsOptions(), {"HOME": str(self.home)})

    def invoke(self, *arguments: str, text: str | None = None) -> Result:
        environ = {"HOME": str(self.home), "XDG_DATA_HOME": None, "XDG_CONFIG_HOME": None, "KUBECONFIG": None}
        return CliRunner(env=environ).invoke(certs_group, arguments, input=text, standalone_mode=False)

    def said(self, *arguments: str, code: int = 0) -> str:
        result = self.invoke(*arguments)
        if result.exception is not None:
            raise result.exception
        assert (result.return_value or 0) == code, result.output
        return result.stdout

    def rotated(self, *actions: Action) -> None:
        for action in actions:
            self.embedded.keeper.rotate(action, datetime.now(UTC))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    made = Here(home=tmp_path / "home")
    made.home.mkdir()
    made.embedded.load_or_create(NOW)
    return made


def trusting(entry: Registration, here: Here) -> None:
    entry.trusts(here.embedded.load_or_create(NOW).trust_sha256)


# --- status


def test_status_is_a_tree_of_80_columns(here: Here) -> None:
    with registered(here.embedded.directory, ["python", "x" * 80], NOW) as entry:
        trusting(entry, here)
        here.rotated(Action.PREPARE, Action.SWITCH)
        text = here.said("status")
    lines = text.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert lines[0] == f"authority  embedded, {here.embedded.directory}"
    assert lines[1].startswith("phase      switched, since ")
    assert lines[2] == "next       retire waits for 1 workload: the newest root is not trusted there"
    assert [line.split()[:2] for line in lines if line.startswith(("├", "└"))] == [
        ["├─", "root"],
        ["├─", "issuer"],
        ["└─", "cross"],
        ["└─", "root"],
    ]
    assert "generation 2, signs" in lines
    assert "generation 1, trusted until it is retired" in lines
    assert lines[-1].endswith("…  1  waited for")


def test_status_for_programs_is_the_same_in_json_and_yaml(here: Here) -> None:
    found = json.loads(here.said("status", "-o", "json"))
    assert (found["phase"], found["generation"], found["workloads"]) == ("stable", 1, [])
    root, issuer = found["certificates"]
    authority = here.embedded.load_or_create(NOW)
    assert root["sha256"] == authority.trust_sha256[0]
    assert (root["days_left"], root["workloads"]) == (3649, 0)
    assert issuer["sha256"] == authority.issuer_sha256
    assert "workloads" not in issuer
    assert yaml.safe_load(here.said("status", "-o", "yaml")) == found


def test_without_an_authority_nothing_is_made(tmp_path: Path) -> None:
    nowhere = Here(home=tmp_path)
    for command in (["status"], ["rotate"], ["export"], ["verify", HOST]):
        with pytest.raises(AuthorityError, match="there is no authority in"):
            nowhere.said(*command)
    assert list(tmp_path.iterdir()) == []


# --- rotate


def test_a_rotation_nobody_stands_in_the_way_of(here: Here) -> None:
    assert here.said("rotate").splitlines() == [
        "prepare   generation 2 is there; who starts now trusts 1 and 2",
        "switch    generation 2 signs; running sidecars take it up without a restart",
        "retire    generation 1 is trusted no more; who starts now trusts 2 alone",
    ]
    assert here.embedded.load_or_create(NOW).generation == 2


def test_without_waiting_it_goes_as_far_as_it_can_and_goes_on_later(here: Here) -> None:
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        text = here.said("rotate", code=3)
        assert "retire    waits for run" in text
        assert "(`app`); `kecs proxy certs rotate --wait` goes on from here" in text
        assert "retire    not in time: waits for run" in here.said("rotate", "--wait", "--timeout", "0", code=3)
    assert here.said("rotate") == "retire    generation 1 is trusted no more; who starts now trusts 2 alone\n"


def test_each_phase_by_itself_and_again_to_no_effect(here: Here) -> None:
    for phase in ("prepare", "switch", "retire"):
        assert here.said("rotate", "--phase", phase).startswith(phase)
        if phase != "retire":
            assert here.said("rotate", "--phase", phase) == f"{phase:<9} is done already\n"


def test_a_phase_out_of_turn_is_refused_with_its_reason(here: Here) -> None:
    with pytest.raises(AuthorityError, match="no prepared generation") as refused:
        here.said("rotate", "--phase", "switch")
    assert refused.value.hint == "prepare first"


def test_force_retires_and_says_what_has_to_restart(here: Here) -> None:
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        assert "which breaks run" in here.said("rotate", "--dry-run", "--force")
        text = here.said("rotate", "--force")
    assert "generation 1 is trusted no more" in text
    assert "restart   run" in text


def test_a_dry_run_changes_nothing(here: Here) -> None:
    before = {path: path.read_bytes() for path in here.embedded.directory.glob("*.pem")}
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        lines = here.said("rotate", "--dry-run").splitlines()
    assert [line.split()[0] for line in lines] == ["prepare", "switch", "retire"]
    assert "(`app`) no longer runs" in lines[2]
    assert {path: path.read_bytes() for path in here.embedded.directory.glob("*.pem")} == before
    with pytest.raises(AuthorityError, match="no prepared generation"):
        here.said("rotate", "--dry-run", "--phase", "switch")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--emergency", "--phase", "switch"], "neither phases nor waiting"),
        (["--timeout", "5"], "is about --wait"),
        (["--embedded", "--context", "kind"], "--embedded and --context contradict"),
        (["--emergency"], "nobody can be asked"),
    ],
)
def test_what_makes_no_sense_is_refused(here: Here, arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        here.said("rotate", *arguments)
    assert here.embedded.load_or_create(NOW).generation == 1


def test_an_emergency_lists_what_has_to_restart_and_crosses_nothing(here: Here) -> None:
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        assert "would replace root and issuer" in here.said("rotate", "--emergency", "--dry-run")
        lines = here.said("rotate", "--emergency", "--yes").splitlines()
    assert lines[0] == "to be restarted, because they trust what is replaced:"
    assert lines[-2] == "restart now:"
    assert lines[1] == lines[-1]
    authority = here.embedded.load_or_create(NOW)
    assert (authority.generation, authority.phase, authority.above) == (2, Phase.STABLE, ())


def test_an_emergency_mends_records_that_can_not_be_read(here: Here) -> None:
    (here.embedded.directory / "root.pem").write_bytes(b"damaged")
    with pytest.raises(AuthorityError):
        here.said("status")
    here.said("rotate", "--emergency", "--yes")
    assert "signs" in here.said("status")


def test_waiting_ends_with_the_run_it_waits_for(here: Here) -> None:
    """Each pause stands for time that passes; in the second the run ends."""
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as the console
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                entry.trusts(here.embedded.load_or_create(NOW).trust_sha256)

        place = EmbeddedPlace(embedded=here.embedded, pause=pause)
        with Progress(console).shown() as progress:
            assert place.rotate(Wanted(wait=True), progress) is Ending.DONE
    console.file.close()
    assert len(pauses) == 2
    assert console.export_text().count("waits for run") == 1


def test_ctrl_c_while_waiting_says_how_it_goes_on(here: Here, capfd: pytest.CaptureFixture[str]) -> None:
    with registered(here.embedded.directory, ["app"], NOW) as entry:
        trusting(entry, here)
        program = (
            "import os, signal, sys; from kecs.cli.certs_progress import Progress;"
            "Progress.waiting = lambda *_: os.kill(os.getpid(), signal.SIGINT);"
            "from kecs.cli.main import main; main(['proxy', 'certs', 'rotate', '--wait'])"
        )
        ran = subprocess.run([sys.executable, "-c", program], env={"HOME": str(here.home)}, check=False, timeout=60)
    assert ran.returncode == 130
    assert "interrupted; `kecs proxy certs rotate --wait` goes on from here" in capfd.readouterr().err


# --- the terminal


def test_a_terminal_gets_a_spinner_and_marks() -> None:
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream for rich
        console = Console(width=200, record=True, force_terminal=True, file=nowhere)
        with Progress(console).shown() as progress:
            progress.waiting("retire", "waits for run 1 (`a [b]`)")
            progress.waiting("retire", "waits for run 1 (`a [b]`)")
            progress.done("retire", "generation 1 is trusted no more [really]")
        text = console.export_text()
    assert "✓ retire    generation 1 is trusted no more [really]" in text


# --- export


def test_the_bundle_as_pem_is_what_is_trusted_and_no_key(here: Here) -> None:
    here.rotated(Action.PREPARE)
    text = here.said("export")
    assert text.encode() == here.embedded.load_or_create(NOW).bundle_pem
    assert "PRIVATE" not in text
    assert len(x509.load_pem_x509_certificates(text.encode())) == 2


def test_the_bundle_as_pkcs12_is_read_by_others(here: Here, tmp_path: Path) -> None:
    here.said("export", "-f", "pkcs12", "-O", str(tmp_path / "trust.p12"), "--password", "secret")
    content = (tmp_path / "trust.p12").read_bytes()
    held = pkcs12.load_pkcs12(content, b"secret")
    assert [one.certificate for one in held.additional_certs] == list(here.embedded.load_or_create(NOW).bundle)
    assert held.key is None
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(content, b"other")


def test_the_bundle_as_a_java_trust_store(here: Here, tmp_path: Path) -> None:
    for form, name in (("jks", "trust.jks"), ("pkcs12", "trust.p12")):
        here.said("export", "-f", form, "-O", str(tmp_path / name))
        listing = subprocess.run(
            ["keytool", "-list", "-keystore", str(tmp_path / name), "-storepass", "changeit"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert listing.stdout.count("trustedCertEntry") == 1, listing.stdout


def test_a_file_that_can_not_be_written_is_an_error(here: Here, tmp_path: Path) -> None:
    with pytest.raises(KecsError, match="can't be written: no such file or directory"):
        here.said("export", "-O", str(tmp_path / "no" / "file"))


# --- verify


@pytest.mark.parametrize(
    ("actions", "clients"),
    [
        ((), ["trusts generation 1"]),
        ((Action.PREPARE,), ["trusts generation 1 alone", "trusts generation 2 alone", "trusts generations 1 and 2"]),
        (
            (Action.PREPARE, Action.SWITCH),
            ["trusts generation 1 alone", "trusts generation 2 alone", "trusts generations 1 and 2"],
        ),
    ],
    ids=["stable", "prepared", "switched"],
)
def test_what_would_be_served_is_judged_by_every_kind_of_client(
    here: Here, actions: tuple[Action, ...], clients: list[str]
) -> None:
    here.rotated(*actions)
    prepared = actions == (Action.PREPARE,)
    found = json.loads(here.said("verify", HOST, "-o", "json", code=1 if prepared else 0))
    assert [one["client"] for one in found["clients"]] == clients
    refused = [one["client"] for one in found["clients"] if not one["accepted"]]
    assert refused == (["trusts generation 2 alone"] if prepared else [])
    assert len(found["chain"]) == (4 if len(actions) == 2 else 3)
    assert found["chain"][0]["subject"] == "CN=*.eu-west-1.amazonaws.com,O=KECS"


def test_the_chain_is_shown_from_the_leaf_up(here: Here) -> None:
    here.rotated(Action.PREPARE, Action.SWITCH)
    lines = here.said("verify", HOST.upper()).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"served for {HOST}"
    assert [line.lstrip("└─ ").split(",")[0][:12] for line in lines[1:5]] == [
        "CN=*.eu-west",
        "CN=KECS veri",
        "CN=KECS issu",
        "CN=KECS root",
    ]
    assert lines[-1].split() == ["trusts", "generations", "1", "and", "2", "accepted"]


@pytest.mark.parametrize("host", ["example.com", "s3.amazonaws.com.example.com", "", "a b"])
def test_a_host_that_is_not_aws_is_refused(here: Here, host: str) -> None:
    with pytest.raises(UsageError, match="is not an AWS name"):
        here.said("verify", host)


def test_a_host_that_asks_for_client_certificates_is_refused(here: Here) -> None:
    with pytest.raises(UsageError, match="asks its clients for certificates"):
        here.said("verify", "0123.gr7.eu-west-1.eks.amazonaws.com")


# --- import


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    def make(*, days: int = 3650, issuer: bool = False, key_mode: int = 0o600) -> Path:
        root = issue_root(NOW, permitted=SUFFIXES, lifetime=timedelta(days=days))
        signer = issue_issuer(root, NOW) if issuer else root
        directory = tmp_path / "secret"
        directory.mkdir()
        (directory / "tls.crt").write_bytes(certificate_pem(signer.certificate))
        (directory / "tls.key").write_bytes(key_pem(signer.key))
        (directory / "ca.crt").write_bytes(certificate_pem(root.certificate))
        (directory / "tls.key").chmod(key_mode)
        return directory

    return make


@pytest.mark.parametrize("issuer", [False, True], ids=["root", "issuer"])
def test_ones_own_root_or_issuer_becomes_the_next_generation(
    here: Here, secret: Callable[..., Path], *, issuer: bool
) -> None:
    directory = str(secret(issuer=issuer))
    what = "issuer" if issuer else "root"
    sentence = f"the {what} is generation 2, prepared; `kecs proxy certs rotate --wait` goes on from here\n"
    assert here.said("import", directory, "--dry-run") == f"would be: {sentence}"
    assert here.embedded.load_or_create(NOW).phase is Phase.STABLE
    assert here.said("import", directory) == sentence
    here.said("rotate")
    own = x509.load_pem_x509_certificate((Path(directory) / "ca.crt").read_bytes())
    assert here.embedded.load_or_create(NOW).bundle == (own,)
    assert here.said("verify", HOST)


def test_single_files_are_taken_too(here: Here, secret: Callable[..., Path]) -> None:
    directory = secret(issuer=True)
    files = [word for flag, name in (("--cert", "tls.crt"), ("--key", "tls.key"), ("--ca", "ca.crt"))
             for word in (flag, str(directory / name))]  # fmt: skip
    assert "generation 2, prepared" in here.said("import", *files)


def test_an_import_before_any_authority_is_the_first(tmp_path: Path, secret: Callable[..., Path]) -> None:
    fresh = Here(home=tmp_path / "fresh")
    assert fresh.said("import", str(secret())) == "the root is in use: generation 1\n"


def test_everything_wrong_with_files_is_said_at_once(here: Here, secret: Callable[..., Path]) -> None:
    directory = secret(key_mode=0o644)
    (directory / "tls.crt").unlink()
    with pytest.raises(AuthorityError) as refused:
        here.said("import", str(directory))
    assert "tls.crt can't be read: no such file or directory" in refused.value.message
    assert "others than its owner may read" in refused.value.message
    assert "chmod 600" in refused.value.message


def test_everything_wrong_with_certificates_is_said_at_once(here: Here, secret: Callable[..., Path]) -> None:
    directory = secret()
    narrow = issue_root(NOW - timedelta(days=40), permitted=("example.com",), lifetime=timedelta(days=10))
    (directory / "tls.crt").write_bytes(certificate_pem(narrow.certificate))
    with pytest.raises(AuthorityError) as refused:
        here.said("import", str(directory))
    for reason in ("the key is not the certificate's", "leave out domains", "the root has ended"):
        assert reason in refused.value.message
    assert "amazonaws.com" in refused.value.message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "nothing to import"), (["--cert", "x"], "nothing to import"), (["d", "--key", "x"], "directory and single")],
)
def test_what_to_import_has_to_be_said(here: Here, arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        here.said("import", *arguments)


# --- which authority


@pytest.mark.parametrize(
    ("asked", "environ", "cluster"),
    [
        pytest.param(Asked(), {}, False, id="nothing said"),
        pytest.param(Asked(), {"KUBECONFIG": "file"}, True, id="KUBECONFIG"),
        pytest.param(Asked(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True, id="in a pod"),
        pytest.param(Asked(embedded=True), {"KUBECONFIG": "file"}, False, id="--embedded"),
        pytest.param(Asked(cluster=True), {}, True, id="--cluster"),
        pytest.param(Asked(context="kind"), {}, True, id="--context"),
        pytest.param(Asked(kubeconfig="file"), {}, True, id="--kubeconfig"),
        pytest.param(Asked(namespace="kecs"), {}, True, id="--namespace"),
    ],
)
def test_whose_certificates_are_meant(asked: Asked, environ: dict[str, str], *, cluster: bool) -> None:
    assert asked.is_cluster(environ) is cluster


def test_the_settings_say_where_the_authority_is(here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"certs: {{directory: {tmp_path / 'elsewhere'}, rootDays: 60}}")
    with pytest.raises(AuthorityError, match="elsewhere"):
        here.said("status", "--config", "mine.yaml")
    here.said("rotate", "--emergency", "--yes", "--config", "mine.yaml")
    found = json.loads(here.said("status", "--config", "mine.yaml", "-o", "json"))
    assert found["certificates"][0]["days_left"] == 59


def test_every_command_has_help_that_fits() -> None:
    for name in ("status", "rotate", "export", "verify", "import"):
        text = CliRunner().invoke(command_line.cli, ["proxy", "certs", name, "--help"]).output
        assert "--embedded" in text
        assert max(map(len, text.splitlines())) <= 80


DOCUMENTS = ("SECURITY.md", "docs/certificates.md", "docs/kubernetes.md", "docs/design/pod-certificates.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_the_documents_is_understood(document: str) -> None:
    text = (Path(__file__).parents[2] / document).read_text(encoding="utf-8")
    for command in re.findall(r"kecs proxy certs ([a-z]+(?: [^`\n]+)?)", text):
        name, *words = shlex.split(command)
        found = certs_group.commands[name]
        if "--help" in words:
            continue
        found.parse_args(found.context_class(found), words)


def test_without_a_kubeconfig_there_is_no_cluster(here: Here) -> None:
    with pytest.raises(KecsError, match="no cluster to talk to"):
        here.said("status", "--cluster", "--kubeconfig", "/nonexistent/kubeconfig")


def test_a_context_that_reads_the_bundle_trusts_what_is_served(here: Here) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=here.said("export"))
    assert len(context.get_ca_certs()) == 1
