"""A throwaway ssh server on a loopback port, for as long as a `with` lasts.

    with ThrowawaySshd() as server:
        remora.connect(server.host, ssh_options=server.ssh_options)

Keys, configuration and log stand in a temporary folder that is removed at the end. The user's own ssh configuration, keys and
known hosts are neither read nor changed. Works as root and as a plain user. SshdMissing says why it cannot run here.
"""
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM {pam}
StrictModes no
PermitUserRC no
PrintMotd no
PrintLastLog no
UseDNS no
MaxStartups 100
SetEnv HOME={folder}/home
"""

CLIENT = """\
Host {host}
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  HostKeyAlias {host}
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  ControlPath none
"""


class SshdMissing(Exception):
    """There is no ssh server here, or it does not run; the text says which."""


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise SshdMissing(f"there is no program {program!r} here (Debian: openssh-server, openssh-client)")
    return os.path.abspath(path)  # sshd runs itself anew for each connection and wants its full path


def account_is_locked():
    """Without PAM sshd turns a locked account away, whatever its key; only root can see that, and use PAM."""
    if os.getuid() != 0:
        return False
    entry = subprocess.run(["getent", "shadow", getpass.getuser()], stdout=subprocess.PIPE, text=True).stdout
    return entry.split(":")[1:2] != [] and entry.split(":")[1].startswith("!")


class ThrowawaySshd:
    host = "another-host"

    def __init__(self):
        self.process = None
        self.folder = None
        self.made_run = False

    @property
    def ssh_options(self):
        return ["-F", os.path.join(self.folder, "config")]

    def __enter__(self):
        sshd, keygen = find("sshd"), find("ssh-keygen")
        find("ssh")
        self.folder = tempfile.mkdtemp(prefix="remora-demo-")
        try:
            self._prepare(keygen)
            for _ in range(5):  # a port that is free now may be taken a moment later
                if self._start(sshd):
                    return self
            raise SshdMissing("sshd found no free port")
        except BaseException:
            self.__exit__()
            raise

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self._path(name), "w") as file:
            file.write(text)

    def _prepare(self, keygen):
        os.mkdir(self._path("home"))
        for key in "host_key", "user_key":
            made = subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "remora-demo", "-f", self._path(key)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if made.returncode != 0:
                raise SshdMissing(f"ssh-keygen cannot make a key: {made.stdout.strip()}")
        with open(self._path("host_key.pub")) as file:
            self._write("known_hosts", self.host + " " + " ".join(file.read().split()[:2]) + "\n")
        # As root sshd locks its unprivileged half into this folder, which the system's own service makes.
        if os.getuid() == 0 and not os.path.isdir("/run/sshd"):
            try:
                os.mkdir("/run/sshd", 0o755)
                self.made_run = True
            except OSError as error:
                raise SshdMissing(f"/run/sshd, which sshd needs as root, cannot be made: {error}") from None

    def _start(self, sshd):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = {"folder": self.folder, "port": port, "host": self.host, "user": getpass.getuser(),
                 "pam": "yes" if account_is_locked() else "no"}
        self._write("sshd_config", SERVER.format(**words))
        self._write("config", CLIENT.format(**words))
        with open(self._path("log"), "w") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", self._path("sshd_config")], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if self.process.poll() is not None:
                with open(self._path("log")) as file:
                    text = file.read().strip()
                if "Cannot bind" in text:
                    return False
                raise SshdMissing(f"sshd does not run here: {text[-500:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        raise SshdMissing("sshd does not listen within 5 seconds")

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.made_run:
            try:
                os.rmdir("/run/sshd")
            except OSError:
                pass  # somebody else uses it by now
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
