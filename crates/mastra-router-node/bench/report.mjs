// What was measured, as medians and as a Markdown table.

const NUMBERS = {
  perSecond: entry => entry.perSecond,
  cpuMicros: entry => entry.cpuMicros,
  cpuCores: entry => entry.cpuSeconds / entry.seconds,
  loopUtilization: entry => entry.loopUtilization,
  delayMeanMs: entry => entry.delayMs.mean,
  delayP99Ms: entry => entry.delayMs.p99,
  delayMaxMs: entry => entry.delayMs.max,
  rssMiB: entry => entry.rssMiB,
};

/** The median of each number over the rounds, by scenario and proxy. */
export function summarize(measured, scenarios, proxies) {
  return scenarios.map(scenario => {
    const of = proxy => measured.filter(entry => entry.scenario === scenario && entry.proxy === proxy);
    const medians = proxy => {
      const entries = Object.entries(NUMBERS).map(([name, number]) => [name, median(of(proxy).map(number))]);
      return Object.fromEntries(entries);
    };
    return { scenario, ...Object.fromEntries(proxies.map(proxy => [proxy, medians(proxy)])) };
  });
}

export function median(numbers) {
  if (numbers.includes(null)) return null;
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function table({ machine, node, generator, rounds, seconds, summary }) {
  const lines = [
    `Medians of ${rounds} rounds of ${seconds} s, turn by turn, on ${machine.cores} × ${machine.cpu} (${machine.system}), Node ${node};`,
    `load from ${generator.requests}, event streams from ${generator.streams}. All processes share the machine: the`,
    'ratios say more than the absolute numbers. Each cell: @mastra/router-local / http-proxy 1.18 with a keep-alive agent.',
    '',
    '| | per second | ratio | CPU each | ratio | event loop busy | its delay: mean | p99 | max |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  for (const { scenario, 'router-local': ours, 'http-proxy': theirs } of summary) {
    const isIdle = ours.cpuMicros === null;
    const both = (name, shown) => `${shown(ours[name])} / ${shown(theirs[name])}`;
    const ratio = name => (isIdle ? '' : `${(ours[name] / theirs[name]).toFixed(2)}×`);
    const cells = [
      scenario,
      isIdle ? '' : both('perSecond', number => Math.round(number).toLocaleString('en-US')),
      ratio('perSecond'),
      isIdle ? '' : both('cpuMicros', number => `${number.toFixed(1)} µs`),
      ratio('cpuMicros'),
      both('loopUtilization', number => `${(number * 100).toFixed(0)} %`),
      ...['delayMeanMs', 'delayP99Ms', 'delayMaxMs'].map(name => both(name, number => `${number.toFixed(1)} ms`)),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}
