rule bids:
    input:
        JOBS.waits_for("bids"),
    output:
        f"ledger/states/bids/{SESSION}.json",
    log:
        f"logs/bids/{SESSION}.log",
    benchmark:
        f"benchmarks/bids/{SESSION}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        key=JOBS.key_of("bids"),
    group:
        "session_{subject}_{session}"
    script:
        "../scripts/bids.py"
