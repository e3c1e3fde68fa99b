//! The programs, what prepares their input, and what they do.
//!
//! Scripts of `sh`, in a folder of their own. What a run prints is the same each time: where a
//! program prints times or ports, the script keeps what does not change.

/// A program that nobody here wrote, and a piece of work for it.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Commands that have to be on the machine.
    pub(crate) needs: &'static [&'static str],
    /// Makes the input, once and with the system's allocator; no input: empty.
    pub(crate) prepare: &'static str,
    /// The work. Its standard output and its standard error are compared.
    pub(crate) run: &'static str,
    /// Its processes leave standard error open until they have ended, so that the library can say
    /// there that it served.
    pub(crate) says_so: bool,
}

/// A corpus of text: the sources of this workspace, some times over.
const CORPUS: &str = "\
git -C \"$ROOT\" archive HEAD | tar x -C . --one-top-level=tree
for i in 1 2 3 4 5 6; do cat $(find tree -name '*.rs' | LC_ALL=C sort); done > corpus
";

pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        name: "python3",
        needs: &["python3"],
        prepare: "\
python3 -c 'import sys, test; print(sys.executable)' > python || python3 -c 'import sys; print(sys.executable)' > python
",
        run: "\
PYTHONMALLOC=malloc \"$(cat python)\" -m test -q -i '*TestTool*' -i '*TestMain*' \
  test_json test_dict test_list test_re test_gc test_thread 2>&1 | grep -v -i -E 'duration|random seed|load avg'
PYTHONMALLOC=malloc \"$(cat python)\" -c '
import json, re, threading
table = {str(i): [i, str(i) * (i % 7), {\"k\": i / 3}] for i in range(60000)}
text = json.dumps(table)
def work():
    found = re.findall(r\"[0-9]+\", text[:200000])
    again = json.loads(text)
    assert again == table and len(found) > 1000
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(text))'
",
        says_so: true,
    },
    Program {
        name: "sqlite3",
        needs: &["sqlite3"],
        prepare: "",
        run: "\
rm -f base; sqlite3 base \"
create table t(id integer primary key, name text, x real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
insert into t select i, printf('name-%d', i * 7919 % 200003), i / 3.0 from n;
create index by_name on t(name);
select count(*), sum(x) from t where name like 'name-1%';
select substr(name, 1, 7) g, count(*), max(x) from t group by g order by g limit 50;
delete from t where id % 3 = 0;
pragma integrity_check;
select group_concat(name) from (select name from t order by name limit 1000);\"
sqlite3 base .dump | cksum
",
        says_so: true,
    },
    Program {
        name: "lua",
        needs: &["lua5.4"],
        prepare: "",
        run: "\
lua5.4 -e '
collectgarbage(\"setpause\", 50)
local words, total = {}, 0
for round = 1, 12 do
  for i = 1, 40000 do
    local word = (\"w\"):rep(i % 40) .. i
    words[word] = { word, i, { round } }
    if i % 3 == 0 then words[word] = nil end
  end
  for _, entry in pairs(words) do total = total + entry[2] end
end
print(total, #table.concat({ (\"x\"):rep(1000000), \"y\" }))'
",
        says_so: true,
    },
    Program {
        name: "perl",
        needs: &["perl"],
        prepare: "",
        run: "\
perl -e '
my (%seen, @kept, $sum);
for my $i (1 .. 400000) {
  my $word = sprintf(\"%x-%s\", $i * 2654435761 % 1000003, \"p\" x ($i % 23));
  $seen{$word}++;
  push @kept, [$word, $i] if $word =~ /^(a|b)[0-9]+-p{3,9}$/;
}
$sum += length for map { $_->[0] } @kept;
print scalar(keys %seen), \" \", scalar(@kept), \" $sum\\n\";
print join(\",\", (sort keys %seen)[0 .. 9]), \"\\n\";'
",
        says_so: true,
    },
    Program {
        name: "git",
        needs: &["git"],
        prepare: "\
rm -rf base; git clone -q --bare \"$ROOT\" base
",
        run: "\
rm -rf copy; git clone -q --bare --no-local base copy
git -C copy -c pack.threads=2 repack -q -a -d -f --depth=20 --window=8
git -C copy fsck --full --no-progress
git -C copy log --stat --format=%H -n 150 | cksum
git -C copy rev-list --objects --all | cksum
",
        says_so: true,
    },
    Program {
        name: "gcc",
        needs: &["gcc", "seq"],
        prepare: "\
{ printf '%s\\n' '#include <stdio.h>'
for i in $(seq 1 700); do
printf '%s\\n' \"static int f$i(int *p, int n) { int s = $i; for (int i = 0; i < n; i++) { s += p[i] * $i; if (s % 7 == 0) s ^= p[(i * $i) % n]; } return s; }\"
done
printf '%s\\n' 'int main(int c, char **v) { int p[64] = {c}; int s = v == 0;'
for i in $(seq 1 700); do printf '%s\\n' \"s += f$i(p, 64);\"; done
printf '%s\\n' 'printf(\"%d \", s); return 0; }'; } > program.c
",
        run: "\
gcc -O2 program.c -o program && ./program && gcc -O2 -S program.c -o - | cksum
",
        says_so: true,
    },
    Program {
        name: "redis-server",
        needs: &["redis-server", "redis-benchmark", "redis-cli"],
        prepare: "",
        run: "\
rm -f dump.rdb; redis-server --unixsocket \"$PWD/s\" --port 0 --save '' --activedefrag no --dir . > log 2>&1 &
until redis-cli -s s ping > pong 2>&1 && grep -q PONG pong; do :; done
redis-benchmark -s s -n 60000 -r 20000 -c 20 -P 16 -q -t set,lpush,mset > rates 2>&1; echo \"benchmark $?\"
redis-cli -s s eval \"for i = 1, 60000 do redis.call('set', 'k' .. i, string.rep('v', i % 300)); redis.call('hset', 'h' .. i % 500, i, i) end return redis.sha1hex(redis.call('hlen', 'h7') .. redis.call('get', 'k299'))\" 0
redis-cli -s s bgsave > saved
until redis-cli -s s info persistence | grep -q 'rdb_bgsave_in_progress:0'; do :; done
redis-cli -s s info persistence | grep rdb_last_bgsave_status
redis-cli -s s exists k1 k59999 h7
redis-cli -s s shutdown nosave; wait
",
        says_so: true,
    },
    Program {
        name: "jq",
        needs: &["jq"],
        prepare: "\
jq -n '[range(60000) | {id: ., name: \"n\\(. * 7919 % 60013)\", tags: [range(. % 5)]}]' > data
",
        run: "\
jq '[.[] | select(.id % 3 == 1) | .name |= ascii_upcase] | group_by(.tags | length) | map({n: length, first: .[0], last: .[-1]})' data
jq -c 'map({(.name): .}) | add | to_entries | sort_by(.key) | .[0:5]' data
",
        says_so: true,
    },
    Program {
        name: "xmllint",
        needs: &["xmllint", "seq"],
        prepare: "\
{ echo '<all>'; for i in $(seq 1 30000); do echo \"<item id=\\\"i$i\\\"><name>n$i</name><list><a>$i</a><b/></list></item>\"; done; echo '</all>'; } > data.xml
",
        run: "\
xmllint --format data.xml | cksum
xmllint --xpath 'count(//item[contains(name, \"99\")])' data.xml
xmllint --c14n data.xml | cksum
",
        says_so: true,
    },
    Program {
        name: "ghostscript",
        needs: &["gs"],
        prepare: "\
cat > page.ps <<'END'
%!PS
/Helvetica findfont 9 scalefont setfont
0 1 6 { /page exch def
  0 1 900 { /i exch def
    i 0.001 mul 1 i 0.001 mul sub page 0.1 mul setrgbcolor
    newpath 300 400 i 3 div 0 i 7 mul 360 mod arc stroke
    i 30 mod 18 mul 20 add i 30 idiv 25 mul 20 add moveto (drystone) show
  } for
  showpage
} for
END
",
        run: "\
gs -q -dNOPAUSE -dBATCH -sDEVICE=ppmraw -r60 -sOutputFile=- page.ps | cksum
gs -q -dNOPAUSE -dBATCH -sDEVICE=txtwrite -sOutputFile=- page.ps | cksum
",
        says_so: true,
    },
    Program {
        name: "ripgrep",
        needs: &["rg"],
        prepare: CORPUS,
        run: "\
for i in 1 2 3 4 5; do rg -n '(fn|struct) [a-z_]+|\\bunsafe\\b' tree | LC_ALL=C sort | cksum; done
rg -c 'SAFETY' corpus; rg -o '[A-Z][a-z]+[A-Z][A-Za-z]+' corpus | LC_ALL=C sort -u | cksum
",
        says_so: true,
    },
    Program {
        name: "stress-ng",
        needs: &["stress-ng"],
        prepare: "",
        run: "\
stress-ng --malloc 2 --malloc-pthreads 4 --malloc-ops 1500 --malloc-bytes 8M --malloc-touch --verify -q --temp-path . ; echo \"verdict $?\"
",
        says_so: false,
    },
    Program {
        name: "node",
        needs: &["node"],
        prepare: "",
        run: "\
node -e '
const { Worker, isMainThread, parentPort } = require(\"worker_threads\");
const code = `const { parentPort } = require(\"worker_threads\");
let map = new Map();
for (let i = 0; i < 60000; i++) map.set(\"k\" + i, Buffer.alloc(i % 300, i));
let bytes = 0; for (const b of map.values()) bytes += b.length + b.toString(\"hex\").length;
parentPort.postMessage(JSON.stringify([map.size, bytes]));`;
let left = 4;
for (let i = 0; i < 4; i++) new Worker(code, { eval: true }).on(\"message\", (m) => { console.log(m); });'
",
        says_so: true,
    },
    Program {
        name: "xz",
        needs: &["xz"],
        prepare: CORPUS,
        run: "\
xz -T2 -4 --block-size=2MiB -c corpus > packed && cksum < packed && xz -T2 -dc packed | cksum
",
        says_so: false,
    },
    Program {
        name: "openssl",
        needs: &["openssl"],
        prepare: CORPUS,
        run: "\
openssl speed -seconds 1 -bytes 64 sha256 > rates 2>&1; echo \"speed $?\"
for digest in sha256 sha512 blake2b512; do openssl dgst -$digest corpus; done
openssl enc -aes-256-cbc -pbkdf2 -iter 20000 -S 0102030405060708 -k drystone -in corpus | cksum
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=drystone -days 2 > made 2>&1
openssl verify -CAfile cert cert
",
        says_so: true,
    },
    Program {
        name: "tar",
        needs: &["tar", "gzip"],
        prepare: CORPUS,
        run: "\
for i in 1 2 3; do tar c --sort=name --mtime=@0 --owner=0 --group=0 --mode=644 tree | cksum; done
tar cz --sort=name --mtime=@0 --owner=0 --group=0 tree > packed; rm -rf out; mkdir out; tar xzf packed -C out
diff -r tree out/tree && echo same
",
        says_so: true,
    },
    Program {
        name: "postgres",
        needs: &["psql", "pgbench", "runuser"],
        prepare: "\
rm -rf base; ls -d /usr/lib/postgresql/*/bin 2> none | tail -n 1 > bin
id postgres > user && chown postgres . && chmod 755 .
",
        run: "\
bin=$(cat bin); PATH=$bin:$PATH; export PATH; rm -rf base log
as() { runuser -u postgres -- env LD_PRELOAD=\"$LD_PRELOAD\" \"$@\"; }
as initdb -D base -A trust -N > made 2>&1; echo \"initdb $?\"
as pg_ctl -D base -w -l log -o \"-c listen_addresses='' -c unix_socket_directories=$PWD -c fsync=off\" start > started; echo \"start $?\"
as pgbench -h \"$PWD\" -i -s 2 -q postgres > filled 2>&1; echo \"fill $?\"
as pgbench -h \"$PWD\" -c 4 -j 2 -t 400 postgres > rates 2>&1; echo \"bench $?\"
as psql -h \"$PWD\" -At postgres -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches), (select count(*) from pgbench_history)'
as pg_ctl -D base -w -m fast stop > stopped; echo \"stop $?\"
",
        says_so: true,
    },
];
