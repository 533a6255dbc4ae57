package slurm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/command"
)

// cluster is a Slurm of one node, for tests alone: its own folder, the loopback
// interface, processes of the test.
type cluster struct {
	dir     string
	program string // nb1shot: a copy of this test, see TestMain
	env     []string
	daemons []*exec.Cmd
}

// TestMain makes the test nb1shot itself where it goes by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "nb1shot" {
		command.Main()
	}
	os.Exit(m.Run())
}

func copySelf(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	return os.WriteFile(path, program, 0o755)
}

// lacking says what the cluster needs and this machine has not, or "".
func lacking() string {
	if os.Geteuid() != 0 {
		return "Slurm's daemons switch to the user of a job, so they need root"
	}
	for _, name := range []string{"munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel"} {
		if _, err := exec.LookPath(name); err != nil {
			return "needs " + name + ": apt-get install slurmctld slurmd slurm-client munge"
		}
	}
	return ""
}

// The configuration: D is the folder, HOST the host. The periods are short where Slurm
// lets them be; a limit of time is looked at every 30 seconds all the same.
const configuration = `ClusterName=test
SlurmctldHost=HOST(127.0.0.1)
SlurmctldPort=PORT1
SlurmdPort=PORT2
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=D/munge.sock
CredType=cred/munge
StateSaveLocation=D/state
SlurmdSpoolDir=D/spool
SlurmctldPidFile=D/slurmctld.pid
SlurmdPidFile=D/slurmd.pid
SlurmctldLogFile=D/slurmctld.log
SlurmdLogFile=D/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MaxArraySize=40
MinJobAge=300
KillWait=30
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
NodeName=HOST NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`

// startCluster starts a cluster that ends with the test.
func startCluster(t *testing.T) *cluster {
	if why := lacking(); why != "" {
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "slurm") // a socket needs a short name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &cluster{dir: dir, program: filepath.Join(dir, "nb1shot")}
	if err := copySelf(c.program); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	ports := freePorts(t, 2)
	text := strings.NewReplacer("D/", dir+"/", "HOST", host, "PORT1", ports[0], "PORT2", ports[1]).Replace(configuration)
	key := make([]byte, 1024)
	rand.Read(key)
	conf := filepath.Join(dir, "slurm.conf")
	for path, content := range map[string]string{conf: text, filepath.Join(dir, "munge.key"): string(key)} {
		if err := os.WriteFile(path, []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"state", "spool", "home"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.env = append(os.Environ(), "SLURM_CONF="+conf, "NB1SHOT_HOME="+filepath.Join(dir, "home"))
	at := func(name string) string { return filepath.Join(dir, name) }
	t.Cleanup(func() { c.end(t) })
	c.start(t, "munged", "--foreground", "--force", "--key-file="+at("munge.key"), "--socket="+at("munge.sock"),
		"--pid-file="+at("munged.pid"), "--log-file="+at("munged.log"), "--seed-file="+at("munge.seed"), "--num-threads=1")
	c.until(t, "munge listens", func() bool { _, err := os.Stat(at("munge.sock")); return err == nil })
	c.start(t, "slurmctld", "-D", "-c")
	c.start(t, "slurmd", "-D", "-c", "-N", host)
	c.until(t, "the node is idle", func() bool {
		out, _ := c.try("sinfo", "--noheader", "--format=%T")
		return strings.TrimSpace(out) == "idle"
	})
	return c
}

func freePorts(t *testing.T, n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

func (c *cluster) start(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.daemons = append(c.daemons, cmd)
}

// end ends what still runs, then the daemons, the last one first.
func (c *cluster) end(t *testing.T) {
	if t.Failed() {
		for _, name := range []string{"slurmctld.log", "slurmd.log"} {
			if text, err := os.ReadFile(filepath.Join(c.dir, name)); err == nil {
				t.Logf("%s:\n%s", name, text[max(0, len(text)-6000):])
			}
		}
	}
	if len(c.daemons) == 3 {
		c.try("scancel", "--user=root")
		for range 100 {
			if out, err := c.try("squeue", "--noheader"); err != nil || out == "" {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for i := len(c.daemons) - 1; i >= 0; i-- {
		d := c.daemons[i]
		d.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(10*time.Second, func() { d.Process.Kill() })
		d.Wait()
		killed.Stop()
	}
}

// try runs a command with the cluster's environment.
func (c *cluster) try(name string, args ...string) (out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	var words bytes.Buffer
	cmd.Stderr = &words
	text, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, &words)
	}
	return string(text), err
}

// must is try whose command must succeed.
func (c *cluster) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// patience bounds every wait.
const patience = 5 * time.Minute

func (c *cluster) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v have passed and not yet: %s", patience, what)
		}
	}
}

// waitFor waits until a job and all tasks of it have ended.
func (c *cluster) waitFor(t *testing.T, job int) {
	t.Helper()
	c.until(t, fmt.Sprintf("job %d has ended", job), func() bool {
		out, err := c.try("squeue", "--noheader", fmt.Sprintf("--jobs=%d", job))
		return err == nil && out == ""
	})
}

// exitCode is that of a job that has ended.
func (c *cluster) exitCode(t *testing.T, job int) string {
	t.Helper()
	c.waitFor(t, job)
	out := c.must(t, "scontrol", "show", "job", fmt.Sprint(job))
	for field := range strings.FieldsSeq(out) {
		if code, ok := strings.CutPrefix(field, "ExitCode="); ok {
			return code
		}
	}
	t.Fatalf("no exit code in:\n%s", out)
	return ""
}
