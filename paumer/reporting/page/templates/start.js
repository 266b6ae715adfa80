// Start whatever this page has.
(async () => {
  startTables();
  await startExplorer();
  if (byId("maps-data")) await new Viewer().start();
  await startClasses();
  for (const name of ["equal", "training"]) if (byId(`${name}-data`)) await startRows(name);
  document.documentElement.dataset.ready = Math.round(performance.now());
})().catch((error) => console.error(error));
