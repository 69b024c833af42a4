//! The default of the memory that training may take.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::System;

/// Half of the free memory, in bytes. The rest is for other programs.
///
/// The free memory is the smaller of that of the host and the rest that the limits of this process's control
/// groups leave. Containers, batch systems and `systemd-run` set such limits.
pub(crate) fn half_of_free_memory() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let left = left_by_cgroups(
        Path::new("/proc/self/cgroup"),
        Path::new("/proc/self/mountinfo"),
        Path::new("/"),
    );
    system.available_memory().min(left.unwrap_or(u64::MAX)) / 2
}

/// A version of Linux's control groups.
struct Version {
    /// The type of its file systems.
    file_system: &'static str,
    /// The controller that a hierarchy's line in `/proc/self/cgroup` and its mount must name; empty
    /// for the hierarchy that has all of them.
    controller: &'static str,
    /// Files with a limit in bytes; other text, such as `max`, means that there is no limit.
    limits: &'static [&'static str],
    /// The field of `memory.stat` with the least limit of a group and all its parents, also of those that
    /// no mount shows. Version 2 has none.
    inherited_limit: Option<&'static str>,
    /// The file with the bytes in use, pages of files included.
    usage: &'static str,
    /// Fields of `memory.stat` with the bytes of files' pages, which the kernel takes back when
    /// memory is needed. Its own `MemAvailable` counts them as free, too.
    reclaimable: [&'static str; 2],
}

const VERSIONS: [Version; 2] = [
    Version {
        file_system: "cgroup2",
        controller: "",
        // Above memory.high, processes are slowed down almost to a halt.
        limits: &["memory.max", "memory.high"],
        inherited_limit: None,
        usage: "memory.current",
        reclaimable: ["inactive_file", "active_file"],
    },
    Version {
        file_system: "cgroup",
        controller: "memory",
        limits: &["memory.limit_in_bytes"],
        inherited_limit: Some("hierarchical_memory_limit"),
        usage: "memory.usage_in_bytes",
        reclaimable: ["total_inactive_file", "total_active_file"],
    },
];

/// Bytes that the limits of a process's control groups and of all their parents leave it; `None` if
/// there is no limit. A file that cannot be read or understood sets no limit.
///
/// `cgroup` and `mountinfo` are the process's files in `/proc`, as cgroups(7) and
/// proc_pid_mountinfo(5) describe them. The mount points are looked for under `root`.
///
/// Some limits cannot be seen. In version 2, these are the limits of parents above what is mounted.
/// Where a mount shows a group outside of the process's control group namespace (its line then begins
/// with `/..`), they are those of the process's own group, since its path below that mount is unknown.
fn left_by_cgroups(cgroup: &Path, mountinfo: &Path, root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(cgroup).ok()?;
    let mounts = fs::read_to_string(mountinfo).ok()?;
    let left = VERSIONS.iter().filter_map(|version| {
        let path = groups.lines().find_map(|line| version.group(line))?;
        let mounts: Vec<_> = mounts.lines().filter_map(|line| version.mount(line)).collect();
        let shows_group = mounts.iter().find(|(shown, _)| Path::new(path).starts_with(shown));
        let (shown, at) = shows_group.or(mounts.first())?;
        let top = root.join(at.strip_prefix("/").ok()?);
        // Inside of a container, the group's path may be the host's, while the mount begins at the
        // container's own group.
        let inside = Path::new(path).strip_prefix(shown).ok();
        let inside = inside.filter(|path| !path.starts_with("..")).unwrap_or(Path::new(""));
        let group = top.join(inside);
        let groups = group.ancestors().take_while(|group| group.starts_with(&top));
        groups.filter_map(|group| version.left(group)).min()
    });
    left.min()
}

impl Version {
    /// The path of the process's group, if this line of `/proc/self/cgroup` is of this version:
    /// `4:memory:/path` or `0::/path`.
    fn group<'a>(&self, line: &'a str) -> Option<&'a str> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|controller| controller == self.controller).then_some(path)
    }

    /// The group that a mount shows and its mount point, if this line of `/proc/self/mountinfo` is of
    /// this version:
    /// `35 32 0:32 /shown /at rw shared:1 - cgroup cgroup rw,memory`.
    fn mount(&self, line: &str) -> Option<(PathBuf, PathBuf)> {
        let (mount, file_system) = line.split_once(" - ")?;
        let [kind, _, options] = file_system.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let has_controller = self.controller.is_empty()
            || options.split(',').any(|option| option == self.controller);
        if kind != self.file_system || !has_controller {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let path = |field: &str| PathBuf::from(field.replace("\\040", " "));
        Some((path(fields.next()?), path(fields.next()?)))
    }

    /// Bytes that a group's limit leaves.
    fn left(&self, group: &Path) -> Option<u64> {
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
        let number = |file: &str| read(file).trim().parse::<u64>().ok();
        let stat = read("memory.stat");
        let field = |field: &&str| {
            let mut values =
                stat.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(' '));
            values.next()?.trim().parse::<u64>().ok()
        };
        let limits = self.limits.iter().filter_map(|file| number(file));
        let limit = limits.chain(self.inherited_limit.as_ref().and_then(field)).min()?;
        let reclaimable = self.reclaimable.iter().filter_map(field);
        let used = number(self.usage).unwrap_or(0).saturating_sub(reclaimable.sum());
        Some(limit.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
    const V1_OTHER: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
    const V2: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
    const V2_UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    /// The limit of version 1 where there is none.
    const NO_LIMIT: &str = "9223372036854771712";

    /// A made-up machine: lines of the two files in `/proc`, and files of groups by their path.
    fn left(cgroup: &[&str], mounts: &[&str], files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        for (path, text) in files {
            write(path, text);
        }
        let cgroup = write("/proc/self/cgroup", &cgroup.join("\n"));
        let mounts = write("/proc/self/mountinfo", &mounts.join("\n"));
        left_by_cgroups(&cgroup, &mounts, root.path())
    }

    #[test]
    fn version_2() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/b/memory.high", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "700\n"),
            (
                "/sys/fs/cgroup/a/b/memory.stat",
                "anon 5\nfile 400\ninactive_file 300\nactive_file 50\n",
            ),
        ];
        assert_eq!(left(&["0::/a/b"], &[V2], &files), Some(1000 - 700 + 300 + 50));
        let high = ("/sys/fs/cgroup/a/b/memory.high", "800\n");
        assert_eq!(left(&["0::/a/b"], &[V2], &[&files[..], &[high]].concat()), Some(450));
    }

    #[test]
    fn version_1() {
        let files = [
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "700\n"),
            // Without total_, a group's own; its children have theirs.
            (
                "/sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 1\nactive_file 1\ntotal_inactive_file 300\ntotal_active_file 50\n",
            ),
            // Of another controller.
            ("/sys/fs/cgroup/cpu/a/memory.limit_in_bytes", "1\n"),
        ];
        let cgroup = ["5:cpu,cpuacct:/a", "4:hugetlb,memory:/a"];
        assert_eq!(left(&cgroup, &[V1_OTHER, V1], &files), Some(650));
        // A parent that no mount shows allows less, or more.
        let stat =
            |limit: u64| format!("hierarchical_memory_limit {limit}\ntotal_active_file 350\n");
        for (limit, expected) in [(600, 250), (5000, 650)] {
            let stat = stat(limit);
            let files = [files[0], files[1], ("/sys/fs/cgroup/memory/a/memory.stat", &*stat)];
            assert_eq!(left(&cgroup, &[V1_OTHER, V1], &files), Some(expected), "{limit}");
            // A container's group without a limit of its own.
            let stat = ("/sys/fs/cgroup/memory/memory.stat", &*stat);
            let no_limit = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT);
            let mount = V1.replace(" / ", " /docker/4f35 ");
            let found = left(&["4:memory:/docker/4f35"], &[&mount], &[no_limit, stat]);
            assert_eq!(found, Some(limit), "{limit}");
        }
        // Both versions, the controller being version 1's.
        let cgroup = ["4:memory:/a", "1:cpu:/", "0::/"];
        assert_eq!(left(&cgroup, &[V1_OTHER, V1, V2_UNIFIED], &files), Some(650));
    }

    #[test]
    fn the_tightest_of_a_group_and_its_parents_holds() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "500\n"),
            ("/sys/fs/cgroup/memory.current", "100\n"),
            ("/sys/fs/cgroup/a/memory.max", "300\n"),
            ("/sys/fs/cgroup/a/memory.current", "100\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/c/memory.max", "400\n"),
            ("/sys/fs/cgroup/a/b/c/memory.current", "100\n"),
            // A sibling's limit is not its.
            ("/sys/fs/cgroup/a/d/memory.max", "10\n"),
        ];
        assert_eq!(left(&["0::/a/b/c"], &[V2], &files), Some(200));
        assert_eq!(left(&["0::/"], &[V2], &files), Some(400));
        // More is in use than the limit allows.
        let full = ("/sys/fs/cgroup/a/memory.current", "900\n");
        assert_eq!(left(&["0::/a/b/c"], &[V2], &[&files[..], &[full]].concat()), Some(0));
    }

    #[test]
    fn in_a_container_the_files_are_at_the_top_of_the_mount() {
        let v2 = [("/sys/fs/cgroup/memory.max", "300\n")];
        let v1 = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "300\n")];
        // With a namespace of its own, and seen from there after it was moved out of it.
        for path in ["0::/", "0::/../other"] {
            assert_eq!(left(&[path], &[V2], &v2), Some(300), "{path}");
        }
        // Without one, the path is the host's; the mount shows the container's group, or one above.
        let mount = V1.replace(" / ", " /docker/4f35 ");
        assert_eq!(left(&["4:memory:/docker/4f35"], &[&mount], &v1), Some(300));
        assert_eq!(left(&["4:memory:/"], &[&mount], &v1), Some(300));
        let inner = ("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "200\n");
        assert_eq!(left(&["4:memory:/docker/4f35/inner"], &[&mount], &[v1[0], inner]), Some(200));
        let elsewhere = V1.replace(" / /sys", " /docker/d57c /mnt/sys");
        let of_another = [("/mnt/sys/fs/cgroup/memory/memory.limit_in_bytes", "10\n"), v1[0]];
        let mounts = [elsewhere.as_str(), mount.as_str()];
        assert_eq!(left(&["4:memory:/docker/4f35"], &mounts, &of_another), Some(300));
        // The mount point need not be the usual one.
        let moved = V2.replace("/sys/fs/cgroup", "/a\\040b");
        assert_eq!(left(&["0::/"], &[&moved], &[("/a b/memory.max", "300\n")]), Some(300));
    }

    #[test]
    fn no_limit_and_what_cannot_be_understood_is_none() {
        let v2 = |files: &[(&str, &str)]| left(&["0::/a"], &[V2], files);
        assert_eq!(v2(&[]), None);
        for text in ["max\n", "", "-1\n", "0x100\n", "1.5\n", "99999999999999999999999\n"] {
            assert_eq!(v2(&[("/sys/fs/cgroup/a/memory.max", text)]), None, "{text:?}");
        }
        // A limit holds whatever can be read beside it.
        let limit = ("/sys/fs/cgroup/a/memory.max", "300");
        for (file, text) in [
            ("/sys/fs/cgroup/a/memory.current", "many"),
            ("/sys/fs/cgroup/a/memory.stat", "inactive_file\nactive_file x\n\n"),
        ] {
            assert_eq!(v2(&[limit, (file, text)]), Some(300), "{text}");
        }
        let v1 = [("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", NO_LIMIT)];
        let left_by_v1 = left(&["4:memory:/a"], &[V1], &v1).unwrap();
        assert!(left_by_v1 > 1 << 60, "{left_by_v1}: more than any host has");

        let limit = [limit];
        for cgroup in ["", "0::", "0:", "nonsense", "4:memory", "4:cpu:/a"] {
            assert_eq!(left(&[cgroup], &[V1], &limit), None, "{cgroup:?}");
        }
        for mount in ["", " - ", "31 23 0:28 - cgroup2 cgroup2 rw", "31 23 0:28 / - cgroup2", V1] {
            assert_eq!(left(&["0::/a"], &[mount], &limit), None, "{mount:?}");
        }
        let nowhere = Path::new("/nowhere");
        assert_eq!(left_by_cgroups(nowhere, nowhere, nowhere), None);
    }

    #[test]
    fn half_of_what_is_free_is_some_of_it() {
        let mut system = System::new();
        system.refresh_memory();
        let half = half_of_free_memory();
        assert!(half > 0 && half <= system.total_memory() / 2, "{half}");
    }
}
