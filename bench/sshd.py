"""A throwaway ssh server on a loopback port, with throwaway keys, for as long as a `with` lasts."""
import os
import pwd
import shutil
import socket
import subprocess
import time

HOST = "bench"                  # what clients call it: the ssh in `bin` knows it by this name


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sshd:
    """self.bin holds an `ssh` that logs in to HOST without asking; put it first in PATH."""

    def __init__(self, directory, env):
        self.directory, self.env = directory, env
        self.bin = os.path.join(directory, "bin")
        self.process = None

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def __enter__(self):
        d, port = self.directory, free_port()
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        ssh = shutil.which("ssh")
        if not sshd or not ssh:
            raise OSError("no OpenSSH client and server here")
        os.makedirs(self.bin)
        os.makedirs(os.path.join(d, "home"))        # an empty one: rc files of the user would be measured too
        for key in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(d, key)], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        shutil.copy(os.path.join(d, "key.pub"), os.path.join(d, "authorized_keys"))
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # sshd insists
        config = self.write("sshd_config", "\n".join((
            "Port %d" % port, "ListenAddress 127.0.0.1", "HostKey %s/host" % d, "PidFile none",
            "AuthorizedKeysFile %s/authorized_keys" % d, "StrictModes no", "UsePAM no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", "MaxStartups 200", "PrintMotd no",
            "PrintLastLog no", "SetEnv HOME=%s/home" % d, "")))
        client = self.write("ssh_config", "\n".join((
            "Host " + HOST, "HostName 127.0.0.1", "Port %d" % port, "User " + pwd.getpwuid(os.getuid()).pw_name,
            "IdentityFile %s/key" % d, "IdentitiesOnly yes", "UserKnownHostsFile %s/known_hosts" % d,
            "GlobalKnownHostsFile /dev/null", "StrictHostKeyChecking no", "LogLevel ERROR", "")))
        self.write("bin/ssh", '#!/bin/sh\nexec %s -F %s "$@"\n' % (ssh, client), 0o700)
        log = open(os.path.join(d, "sshd.log"), "w")
        self.process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env=self.env)
        log.close()
        for _ in range(50):
            done = subprocess.run([os.path.join(self.bin, "ssh"), HOST, "true"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if done.returncode == 0:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.__exit__()
        with open(os.path.join(d, "sshd.log")) as f:
            raise OSError("sshd: %s %s" % (f.read()[-300:].strip(), done.stderr.decode(errors="replace")[-200:].strip()))

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()
