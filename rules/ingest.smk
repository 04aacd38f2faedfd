rule bids:
    input:
        ancient(JOBS.waits_for("bids")),
    output:
        f"ledger/states/bids/{SESSION}.json",
    log:
        f"logs/bids/{SESSION}.log",
    benchmark:
        f"benchmarks/bids/{SESSION}.tsv"
    group:
        "session_{subject}_{session}"
    conda:
        "../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("bids"),
    script:
        "../scripts/bids.py"
