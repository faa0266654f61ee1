"""What perf prints becomes the parts of a program, and those become the page's table."""

import pytest

from benchmarks.relay.breakdown import part_of, parts_of, table
from benchmarks.relay.figures import Sample

# what perf 6.1 printed for a sidecar, shortened
REPORT = """
# To display the perf.data header info, please use --header/--header-only options.
#
# Samples: 25K of event 'cpu-clock'
# Event count (approx.): 1686383136
#
# Overhead  Shared Object                            
# ........  .........................................
#
    40.69%  [kernel.kallsyms]                        
    39.77%  libpython3.13.so.1.0                     
     6.82%  libc.so.6                                
     5.48%  libcrypto.so.3                           
     2.70%  loop.cpython-313-x86_64-linux-gnu.so     
     2.19%  libssl.so.3                              
     0.70%  ld-linux-x86-64.so.2                     
     0.40%  _ssl.cpython-313-x86_64-linux-gnu.so     
     0.25%  [vdso]                                   


#
# (Tip: To change sampling frequency to 100 Hz: perf record -F 100)
#
"""  # noqa: W291 - as it was printed


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("[kernel.kallsyms]", "kernel"),
        ("[vdso]", "kernel"),
        ("libssl.so.3", "OpenSSL"),
        ("libcrypto.so.3", "OpenSSL"),
        ("libcrypto.so.1.1", "OpenSSL"),
        ("libc.so.6", "C library"),
        ("libc-2.31.so", "C library"),
        ("ld-linux-x86-64.so.2", "C library"),
        ("libcap.so.2", "program"),
        ("loop.cpython-313-x86_64-linux-gnu.so", "uvloop"),
        ("_ssl.cpython-313-x86_64-linux-gnu.so", "program"),
        ("libpython3.13.so.1.0", "program"),
        ("python3.13", "program"),
        ("nginx", "program"),
        ("ngx_stream_module.so", "program"),
    ],
)
def test_a_file_is_part_of(file: str, part: str) -> None:
    assert part_of(file) == part


def test_a_report_is_summed_up_by_parts() -> None:
    found = {part: round(share, 2) for part, share in parts_of(REPORT).items()}
    assert found == {"kernel": 40.94, "OpenSSL": 7.67, "C library": 7.52, "uvloop": 2.70, "program": 40.17}
    assert parts_of("") == dict.fromkeys(found, 0.0)


def test_the_table_has_medians_of_what_each_part_took() -> None:
    shares = {"kernel": 50.0, "OpenSSL": 25.0, "C library": 5.0, "uvloop": 0.0, "program": 20.0}
    samples = [
        Sample(load="boto3", arm=arm, round=number, values={"us": us, **shares})
        for arm, figures in (("ours", (100.0, 400.0, 200.0)), ("nginx-sni", (20.0, 10.0, 30.0)))
        for number, us in enumerate(figures)
    ]
    samples.append(Sample(load="boto3", arm="ours", round=3, values={}, failure="it has ended"))
    assert table(samples).splitlines() == [
        "| load | arm | CPU, µs | kernel | OpenSSL | C library | uvloop | program |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        "| boto3 | ours | 200.0 | 100.0 | 50.0 | 10.0 | 0.0 | 40.0 |",
        "| boto3 | nginx-sni | 20.0 | 10.0 | 5.0 | 1.0 | 0.0 | 4.0 |",
    ]
