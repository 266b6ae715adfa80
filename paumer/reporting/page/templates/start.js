// Start whatever this page has.
(async () => {
  startTables();
  await startExplorer();
  if (byId("maps-data")) await new Viewer().start();
  await startClasses();
  if (byId("training-data")) await startTraining();
  document.documentElement.dataset.ready = Math.round(performance.now());
})().catch((error) => console.error(error));
